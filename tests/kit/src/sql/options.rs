//! How a server is started.

use super::{Product, SqlServer};

/// Options of a [`SqlServer`], from [`SqlServer::builder`].
#[derive(Debug, Clone)]
pub struct SqlServerBuilder {
    product: Product,
    settings: Vec<(String, String)>,
    fsync: bool,
}

impl SqlServerBuilder {
    pub(super) fn new(product: Product) -> Self {
        Self { product, settings: Vec::new(), fsync: true }
    }

    /// A setting of the server, such as `("lock_timeout", "1s")`. A later one of the same name wins.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Does not wait for the disk at a commit. What was committed survives the server being killed, and not a power failure.
    #[must_use]
    pub fn without_fsync(mut self) -> Self {
        self.fsync = false;
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// When the program is missing or the server does not come up; the message holds what it logged.
    #[track_caller]
    pub fn start(self) -> SqlServer {
        SqlServer::start_with(&self)
    }

    pub(super) fn product(&self) -> Product {
        self.product
    }

    pub(super) fn fsync(&self) -> bool {
        self.fsync
    }

    pub(super) fn setting_arguments(&self) -> impl Iterator<Item = String> {
        self.settings.iter().flat_map(|(name, value)| self.product.setting(name, value))
    }
}
