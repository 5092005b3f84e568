//! One server of a product for all tests of a process.

use std::{env, sync::OnceLock};

use super::{Product, SqlServer, server};

/// The server of [`shared()`].
#[derive(Debug)]
pub struct SharedSql {
    url: String,
    // Never dropped, being part of a static: it dies with the process.
    _server: Option<SqlServer>,
}

impl SharedSql {
    /// The address of a new and empty database.
    #[track_caller]
    pub fn new_database(&self) -> String {
        server::new_database(&self.url)
    }
}

/// A server for all tests of this process, started when the first one asks, or the one that `IDEM_TEST_POSTGRES_URL` or `IDEM_TEST_MYSQL_URL`
/// names, whose account must be allowed to create databases.
///
/// It does not wait for the disk. Tests work in databases of their own, and leave the server's settings and connections alone; those that
/// cannot start a [`SqlServer`].
#[track_caller]
pub fn shared(product: Product) -> &'static SharedSql {
    static POSTGRES: OnceLock<SharedSql> = OnceLock::new();
    static MYSQL: OnceLock<SharedSql> = OnceLock::new();
    let shared = match product {
        Product::Postgres => &POSTGRES,
        Product::MySql => &MYSQL,
    };
    shared.get_or_init(|| match env::var(product.url_variable()) {
        Ok(url) if !url.is_empty() => SharedSql { url, _server: None },
        _ => {
            let server = SqlServer::builder(product).without_fsync().start();
            SharedSql { url: server.url(), _server: Some(server) }
        }
    })
}
