//! What the products differ in.

use std::path::{Path, PathBuf};

use super::{mysql, postgres};

/// The account that tests connect as, which may do everything.
pub(super) const USER: &str = "idem";

/// A database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// Postgres: the program that `IDEM_POSTGRES_SERVER` names, else `postgres` from `PATH` or from where the distributions put it, else what
    /// `cargo xtask test` fetched.
    Postgres,
    /// MariaDB or MySQL: the program that `IDEM_MYSQL_SERVER` names, else `mariadbd` or `mysqld` from `PATH` or from where the distributions
    /// put it, else what `cargo xtask test` fetched.
    MySql,
}

/// How a server of a product is run.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    pub(super) program: PathBuf,
    /// Filled, and to be copied.
    pub(super) template: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) password: &'static str,
}

impl Product {
    /// Finds the program and makes what all of its servers share.
    ///
    /// # Panics
    ///
    /// When the program is missing; the message says what to install.
    #[track_caller]
    pub(super) fn installation(self) -> Installation {
        match self {
            Self::Postgres => postgres::installation(),
            Self::MySql => mysql::installation(),
        }
    }

    /// The arguments for a server with its files in `dir`, beside those of the installation.
    pub(super) fn arguments(self, port: u16, dir: &Path, fsync: bool) -> Vec<String> {
        match self {
            Self::Postgres => postgres::arguments(port, dir, fsync),
            Self::MySql => mysql::arguments(port, dir, fsync),
        }
    }

    /// An argument that sets something.
    pub(super) fn setting(self, name: &str, value: &str) -> Vec<String> {
        match self {
            Self::Postgres => vec!["-c".into(), format!("{name}={value}")],
            Self::MySql => vec![format!("--{name}={value}")],
        }
    }

    /// The file to which a server writes its process id.
    pub(super) fn pid_file(self, dir: &Path) -> PathBuf {
        match self {
            Self::Postgres => data(dir).join("postmaster.pid"),
            Self::MySql => dir.join("server.pid"),
        }
    }

    /// The database that a server has from the start.
    pub(super) fn first_database(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => USER,
        }
    }

    /// The scheme of its URLs.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }

    /// Names a server that is already running.
    pub(super) fn url_variable(self) -> &'static str {
        match self {
            Self::Postgres => "IDEM_TEST_POSTGRES_URL",
            Self::MySql => "IDEM_TEST_MYSQL_URL",
        }
    }
}

/// Where a server with its files in `dir` keeps its data.
pub(super) fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}
