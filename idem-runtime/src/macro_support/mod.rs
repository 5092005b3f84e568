//! The functions that expansions of `#[idempotent]` call. Not public API; exempt from semver.
//!
//! Two rules hold here:
//!
//! - Nothing fails early: an error in a key or a fingerprint is kept, and the call reports it.
//! - A bound that a user's type does not meet is one error, at the type. The expansion requires each
//!   bound alone (`require_…`), with a trait whose message says what to do. [`Callable`] needs all of
//!   them together; if one is missing, method lookup goes on to [`NotCallable`](not_callable), so
//!   that there is no second error.

#![doc(hidden)]

/// Choices that the compiler makes by the bounds that are met: types with a method of one name, in
/// their order. Method lookup passes over a type whose bounds are not met, and follows `Deref` to
/// the next one. In a generic function the declared bounds count.
macro_rules! choices {
    ($generics:tt $($(#[$doc:meta])* $choice:ident => $next:ident;)*) => {
        $(choices!(@choice $generics $(#[$doc])* $choice => $next);)*
    };
    (@choice [$($generics:tt)*] $(#[$doc:meta])* $choice:ident => $next:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $choice<$($generics)*>($next<$($generics)*>);

        impl<$($generics)*> std::ops::Deref for $choice<$($generics)*> {
            type Target = $next<$($generics)*>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    };
}

pub mod argument;
mod bounds;
mod call;
mod error_text;
mod instance;
pub mod not_callable;
mod options;
pub mod stored;
pub mod transaction;

pub use std::ops::ControlFlow;
pub use std::time::Duration;

#[cfg(feature = "json")]
pub use crate::codec::Json;
#[cfg(feature = "msgpack")]
pub use crate::codec::MsgPack;
pub use crate::engine::{Detached, Idempotency, Operation, handle};
pub use crate::error::Error;
pub use crate::fingerprint::Fingerprint;
pub use crate::key::{Key, KeyBuilder};
pub use crate::policy::{ReleaseErrors, ReplayErrors, StoreErrors, StoreErrorsAs};
pub use crate::record::CrashPolicy;
pub use argument::{Arguments, Input, Opaque, State, Subject};
pub use bounds::{
    FromIdempotency, Owned, ReplayableError, Returned, Sent, require_error, require_owned,
    require_replayed_error, require_result, require_sent,
};
pub use call::{Callable, error_map, fake_return, predicate};
pub use error_text::{DebugText, ErrorText, NoText, TypeText};
pub use instance::instance;
pub use options::{AsHandle, KeyValue, Template, handle_of, operation, prefixed_key, tenant};
pub use stored::{Inside, Part, Value, store_if, stored_as, wrapper};
pub use transaction::{CallableWithin, Transactional, require_transaction};
