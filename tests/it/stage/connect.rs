//! Storages on connections of their own, however busy the machine is.

use idem_runtime::storage::{MySqlStorage, PostgresStorage};

use super::BUSY;

pub(crate) async fn postgres(url: impl AsRef<str>) -> PostgresStorage {
    PostgresStorage::builder().connection_timeout(BUSY).connect(url.as_ref()).await.unwrap()
}

pub(crate) async fn mysql(url: impl AsRef<str>) -> MySqlStorage {
    MySqlStorage::builder().connection_timeout(BUSY).connect(url.as_ref()).await.unwrap()
}
