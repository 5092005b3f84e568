//! The settings of a call: what its builder was given, checked and filled in from the handle.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::call::Call;
use super::context;
use super::flight::Flight;
use super::shared::{SharedHandle, check_durations};
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::key::{CallName, HashedArguments, Key, KeyGenerator, RecordKey};
use crate::record::CrashPolicy;
use crate::telemetry;

pub(super) struct CallSettings {
    handle: Result<Arc<SharedHandle>, Error>,
    pub(super) name: Cow<'static, str>,
    pub(super) key: Option<Result<Key, Error>>,
    pub(super) fingerprint: Option<Result<Fingerprint, Error>>,
    pub(super) tenant: Option<String>,
    pub(super) ttl: Option<Duration>,
    pub(super) lease: Option<Duration>,
    pub(super) wait: Option<Duration>,
    pub(super) on_crash: CrashPolicy,
    pub(super) codec: Option<AnyCodec>,
    pub(super) fail_open: bool,
}

impl CallSettings {
    pub(super) fn new(handle: Result<Arc<SharedHandle>, Error>, name: Cow<'static, str>) -> Self {
        Self {
            handle,
            name,
            key: None,
            fingerprint: None,
            tenant: None,
            ttl: None,
            lease: None,
            wait: None,
            on_crash: CrashPolicy::Retry,
            codec: None,
            fail_open: false,
        }
    }

    /// The call. An error ends it before its report has begun, so the error is counted here.
    pub(super) fn into_call(self) -> Result<Call, Error> {
        let name = self.name.clone();
        self.check().inspect_err(|error| telemetry::refused(&name, error))
    }

    fn check(self) -> Result<Call, Error> {
        let Self { handle, name: operation, key, fingerprint, tenant, ttl, lease, .. } = self;
        let generator = handle.as_ref().ok().map(|handle| &*handle.key_generator);
        let (key, fingerprint) = match identity(&operation, key, fingerprint, generator) {
            Ok(identity) => identity,
            // A missing handle is reported first.
            Err(error) => return Err(handle.err().unwrap_or(error).on_operation(&operation)),
        };
        let of_key = |error: Error| error.on_operation(&operation).with_key(key.as_str());
        let inner = handle.map_err(of_key)?;
        let record = RecordKey::new(&inner.namespace, tenant.as_deref(), &key).map_err(of_key)?;
        let name = CallName { operation, key, tenant, record, fingerprint };
        // Defaults are the handle's. A default lease is lowered to the operation's ttl, and a
        // default ttl is raised to the operation's lease.
        let lease = lease.unwrap_or_else(|| ttl.map_or(inner.lease, |ttl| ttl.min(inner.lease)));
        let ttl = ttl.unwrap_or(inner.ttl.max(lease));
        check_durations(ttl, lease).map_err(|error| error.of_call(&name))?;
        Ok(Call {
            flight: Flight::new(name, Arc::as_ptr(&inner) as usize, lease, context::parent()),
            ttl,
            wait: self.wait,
            on_crash: self.on_crash,
            codec: self.codec.unwrap_or_else(|| inner.codec.clone()),
            fail_open: self.fail_open,
            inner,
        })
    }
}

/// The key and the fingerprint of a call of `operation`: either is made of the other.
fn identity(
    operation: &str,
    key: Option<Result<Key, Error>>,
    fingerprint: Option<Result<Fingerprint, Error>>,
    generator: Option<&dyn KeyGenerator>,
) -> Result<(Key, Fingerprint), Error> {
    let fingerprint = fingerprint.transpose()?;
    let key = match (key.transpose()?, fingerprint) {
        (Some(key), _) => key,
        (None, Some(fingerprint)) => {
            generator.unwrap_or(&HashedArguments).generate(operation, fingerprint)?
        }
        (None, None) => {
            let text = "the operation has neither a key nor arguments to make one of";
            return Err(Error::new(ErrorKind::KeyGeneration, text));
        }
    };
    Ok((key, fingerprint.unwrap_or_else(|| Fingerprinter::new(operation).finish())))
}
