//! Sentinel support is not compiled in.

use std::sync::Arc;

use super::error::needs_feature;
use super::tls::Certificates;
use super::transport::{Timeouts, Transport};
use crate::storage::StorageError;

pub(super) fn transport(
    _sentinels: Vec<redis::ConnectionInfo>,
    _primary: String,
    _server: redis::ConnectionInfo,
    _certificates: Certificates,
    _timeouts: Timeouts,
    _tried: Option<Arc<str>>,
) -> Result<Box<dyn Transport>, StorageError> {
    Err(needs_feature("redis-sentinel"))
}
