//! Cluster support is not compiled in.

use super::error::needs_feature;
use super::tls::Certificates;
use super::transport::{Timeouts, Transport};
use crate::storage::StorageError;

pub(super) fn transport(
    _nodes: Vec<redis::ConnectionInfo>,
    _certificates: Certificates,
    _timeouts: Timeouts,
) -> Result<Box<dyn Transport>, StorageError> {
    Err(needs_feature("redis-cluster"))
}
