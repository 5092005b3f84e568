//! The state that the calls of a handle share: its storage, its settings, and the in-flight table.

use std::sync::Arc;
use std::time::Duration;

use super::in_flight_table::InFlightTable;
use super::parked_records::ParkedRecords;
use super::read_back::ReadBack;
use super::renewal::Renewer;
use super::throttled_log::ThrottledLog;
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::hooks::Hooks;
use crate::key::KeyGenerator;
use crate::storage::SharedStorage;

pub(crate) struct SharedHandle {
    pub(crate) storage: SharedStorage,
    pub(crate) namespace: String,
    pub(crate) ttl: Duration,
    pub(crate) lease: Duration,
    pub(crate) claim_timeout: Duration,
    pub(crate) codec: AnyCodec,
    pub(crate) max_result_size: usize,
    pub(crate) flights: Arc<InFlightTable>,
    pub(crate) renewer: Arc<Renewer>,
    pub(crate) log: Arc<ThrottledLog>,
    pub(crate) key_generator: Box<dyn KeyGenerator>,
    pub(crate) hooks: Hooks,
    pub(crate) parked: ParkedRecords,
    pub(crate) read_back: ReadBack,
}

/// Checks a ttl and a lease.
pub(crate) fn check_durations(ttl: Duration, lease: Duration) -> Result<(), Error> {
    let text = if ttl.is_zero() {
        "the ttl is zero"
    } else if lease.is_zero() {
        "the lease is zero"
    } else if ttl < lease {
        "the ttl is shorter than the lease"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Configuration, text))
}
