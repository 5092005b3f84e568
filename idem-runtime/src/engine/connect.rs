//! A handle from a URL, for configuration files and `--storage` options.

mod schemes;

use super::handle::Idempotency;
use super::handle_builder::IdempotencyBuilder;
use crate::error::{Error, ErrorKind};
use crate::storage::{MemoryStorage, Storage, StorageError};

impl Idempotency {
    /// A handle on the storage that `url` names, with the default settings.
    ///
    /// | URL | storage | feature |
    /// |---|---|---|
    /// | `memory:` | this process | |
    /// | `redis://[user:password@]host[:port][/db]`, `rediss://…`, `valkey://…`, `unix:///path` | Redis or Valkey | `redis` (`redis-tls`) |
    /// | `redis-sentinel://[user:password@]host:port,…/primary[/db]` | the primary that Sentinel names | `redis-sentinel` |
    /// | `redis-cluster://[user:password@]host:port,…` | Redis Cluster | `redis-cluster` |
    /// | `postgres://[user:password@]host[:port]/database` | Postgres; missing tables are [made](crate::storage::sql#tables) | `postgres` |
    /// | `mysql://[user:password@]host[:port]/database`, `mariadb://…` | MySQL or MariaDB; missing tables are made | `mysql` |
    /// | `sqlite:FILE`, `sqlite::memory:` | SQLite; a missing file and missing tables are made | `sqlite` |
    /// | any other scheme | a storage of another crate, after [`register_scheme`](Self::register_scheme) | |
    ///
    /// `rediss` trusts the system's certificate authorities, or those in the file that the
    /// environment variable `SSL_CERT_FILE` names.
    ///
    /// # Errors
    ///
    /// `Configuration` for a malformed URL, a scheme whose feature is off, wrong credentials, a
    /// certificate that is not accepted or a server too old; `Storage` for a server that cannot be
    /// reached. The text names the URL without its password.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_builder(url).await?.build()
    }

    /// Like [`connect`](Self::connect), with settings.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_builder(url: &str) -> Result<IdempotencyBuilder, Error> {
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match scheme.as_str() {
            "memory" => Ok(Self::builder(MemoryStorage::new())),
            "unix" => redis(url).await,
            "postgres" | "postgresql" => postgres(url).await,
            "mysql" | "mariadb" => mysql(url).await,
            "sqlite" => sqlite(url).await,
            _ if schemes::is_redis(&scheme) => redis(url).await,
            _ => match schemes::opener(&scheme) {
                Some(open) => Ok(Self::builder(open(url.to_owned()).await?)),
                None => Err(Error::new(ErrorKind::Configuration, unknown(url))),
            },
        }
    }

    /// Adds a scheme to [`connect`](Self::connect) for this whole process: `open` gets every URL
    /// that begins with `scheme:`. For authors of storages, so that a configuration file can name
    /// theirs.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// use idempotency::Idempotency;
    /// use idempotency::storage::MemoryStorage;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// Idempotency::register_scheme("bounded", async |url| {
    ///     let records = url.trim_start_matches("bounded:").parse().unwrap_or(1_000);
    ///     Ok(MemoryStorage::with_capacity(records))
    /// })?;
    /// let idem = Idempotency::connect("bounded:500").await?;
    /// # let _ = idem;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The scheme is in lower case, and `connect` ignores case. `connect` returns the error of
    /// `open`: for an unusable URL a
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) error. Its text must not
    /// repeat the URL, which may contain a password.
    ///
    /// # Errors
    ///
    /// `Configuration` for an invalid scheme, a built-in one, and one that was registered before.
    pub fn register_scheme<S, O, F>(scheme: &str, open: O) -> Result<(), Error>
    where
        S: Storage,
        O: Fn(String) -> F + Send + Sync + 'static,
        F: Future<Output = Result<S, StorageError>> + Send + 'static,
    {
        schemes::register(scheme, open)
    }
}

/// The error text for an unknown URL. It names the scheme alone, since the rest may have a
/// password.
fn unknown(url: &str) -> String {
    let mut known = "`memory:`, `redis:`, `rediss:`, `unix:`, `redis-sentinel:`, `redis-cluster:`, `postgres:`, `mysql:` or \
                     `sqlite:`"
        .to_owned();
    for registered in schemes::registered() {
        known.extend([", or with the registered `", &registered, ":`"]);
    }
    match url.split_once(':') {
        Some((scheme, _))
            if scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char)) =>
        {
            format!("unknown storage URL `{scheme}:…`: it has to start with {known}")
        }
        _ => format!("not a storage URL: it has to start with {known}"),
    }
}

/// A function that connects to a storage, or says that its feature is off.
macro_rules! connector {
    ($name:ident, $feature:literal, $storage:ident, $text:literal) => {
        #[cfg(feature = $feature)]
        async fn $name(url: &str) -> Result<IdempotencyBuilder, Error> {
            Ok(Idempotency::builder(crate::storage::$storage::connect(url).await?))
        }

        #[cfg(not(feature = $feature))]
        async fn $name(_url: &str) -> Result<IdempotencyBuilder, Error> {
            Err(Error::new(ErrorKind::Configuration, $text))
        }
    };
}

connector!(redis, "redis", RedisStorage, "a Redis URL needs the feature `redis`");
connector!(postgres, "postgres", PostgresStorage, "a Postgres URL needs the feature `postgres`");
connector!(sqlite, "sqlite", SqliteStorage, "a SQLite URL needs the feature `sqlite`");
connector!(mysql, "mysql", MySqlStorage, "a MySQL URL needs the feature `mysql`");
