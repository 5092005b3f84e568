//! What is looked at before a server is trusted with records.

use std::fmt;

use super::super::connections::Share;
use super::link::Link;
use super::verbs::get;
use crate::storage::{StorageError, StorageWarning};

/// A setting under which records, and with them the protection against running twice, can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MySqlWarning {
    /// `innodb_flush_log_at_trx_commit` is not 1: a commit does not wait for the disk, and a crash forgets the last of them.
    NotSynchronous,
    /// There is a binary log, and `sync_binlog` is not 1: a crash can leave replicas with other records than the server.
    BinlogNotSynchronous,
}

impl fmt::Display for MySqlWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSynchronous => {
                "innodb_flush_log_at_trx_commit is not 1: a crash of mysql forgets the last records, and what they protect can run twice; set it to 1"
            }
            Self::BinlogNotSynchronous => {
                "sync_binlog is not 1: after a crash of mysql replicas can have other records than it; set it to 1"
            }
        })
    }
}

impl From<&MySqlWarning> for StorageWarning {
    fn from(warning: &MySqlWarning) -> Self {
        let setting = match warning {
            MySqlWarning::NotSynchronous => "innodb_flush_log_at_trx_commit",
            MySqlWarning::BinlogNotSynchronous => "sync_binlog",
        };
        Self::new(setting, warning.to_string())
    }
}

/// Looks at the server.
pub(super) async fn check(link: &Link) -> Result<Vec<MySqlWarning>, StorageError> {
    let mut session = link.session(Share::Claims).await?;
    let asking =
        "SELECT @@innodb_flush_log_at_trx_commit <> 1, @@log_bin <> 0 AND @@sync_binlog <> 1";
    let rows = session.run(asking.to_owned()).await;
    session.give_back();
    let rows = rows?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let mut warnings = Vec::new();
    for (column, warning) in
        [MySqlWarning::NotSynchronous, MySqlWarning::BinlogNotSynchronous].into_iter().enumerate()
    {
        if get::<i64>(row, column)? != 0 {
            warnings.push(warning);
        }
    }
    Ok(warnings)
}
