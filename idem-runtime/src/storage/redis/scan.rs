//! Listing records, for tools.
//!
//! `SCAN` with the prefix, one primary after the other, then each record that was found. A position
//! is the primary and the cursor that this primary gave. Between two pages a slot may move to a
//! primary that has been listed already; its records are then missed.

use futures_util::future::join_all;
use redis::{Cmd, Value};

use super::error::CommandError;
use super::storage::RedisStorage;
use super::transport::Node;
use crate::key::RecordKey;
use crate::storage::{Cursor, Page, Storage, StorageError, StorageErrorKind};

/// Reads a cursor, `cursor@host:port`: the server's cursor, and the name of its node.
fn position(Cursor(text): &Cursor) -> Result<(u64, &str), StorageError> {
    let position = text.split_once('@').and_then(|(at, node)| Some((at.parse().ok()?, node)));
    position.ok_or_else(|| {
        StorageError::new(StorageErrorKind::Configuration, "not a cursor of this storage")
    })
}

impl RedisStorage {
    pub(super) async fn scan_page(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StorageError> {
        let primaries = self.transport().primaries().await.map_err(|fault| self.error(fault))?;
        let (node, cursor) = match after.map(position).transpose()? {
            None => (primaries.first(), 0),
            Some((cursor, node)) => {
                let same = primaries.iter().find(|primary| primary.to_string() == node);
                // A removed primary has left its records to others.
                let next = || primaries.iter().find(|primary| primary.to_string().as_str() > node);
                (same.or_else(next), cursor)
            }
        };
        let Some(node) = node else {
            return Ok(Page { records: Vec::new(), next: None });
        };
        let (cursor, keys) =
            self.scan_node(node, cursor, limit).await.map_err(|fault| self.error(fault))?;
        let loads = keys.into_iter().map(|key| async move {
            let loaded = self.load(&key).await;
            // It may have expired meanwhile.
            loaded.transpose().map(|record| (key, record))
        });
        let records = join_all(loads).await.into_iter().flatten().collect();
        let next = if cursor > 0 {
            Some(Cursor(format!("{cursor}@{node}")))
        } else {
            let next = primaries.iter().find(|primary| *primary > node);
            next.map(|node| Cursor(format!("0@{node}")))
        };
        Ok(Page { records, next })
    }

    async fn scan_node(
        &self,
        node: &Node,
        cursor: u64,
        limit: usize,
    ) -> Result<(u64, Vec<RecordKey>), CommandError> {
        let mut cmd = Cmd::new();
        cmd.arg("SCAN").arg(cursor).arg("MATCH").arg(self.0.names.pattern());
        cmd.arg("COUNT").arg(limit.max(1));
        let reply = self.transport().send_to(node, &cmd).await?.extract_error()?;
        let (cursor, keys): (u64, Vec<Value>) =
            redis::from_redis_value(reply).map_err(redis::RedisError::from)?;
        let keys = keys.into_iter().filter_map(|key| match key {
            Value::BulkString(key) => String::from_utf8(key).ok(),
            _ => None,
        });
        let keys = keys.filter_map(|key| self.0.names.record(&key).map(RecordKey::from_stored));
        Ok((cursor, keys.collect()))
    }
}
