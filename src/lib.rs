//! Makes an async operation take effect once, however often it is called: client retries, redelivered messages, job re-runs, crashes
//! half way. Every duplicate gets the first call's result.
//!
//! Annotate a function with `#[idempotent]` (feature `macros`, on by default), set a storage with [`set_global`] at start-up, and that is
//! it. Without the attribute the same engine is [`Idempotency::execute`] and [`Idempotency::operation`]:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), idempotency::Error> {
//! use std::time::Duration;
//! use idempotency::{Error, Idempotency};
//!
//! let idem = Idempotency::connect("memory:").await?;
//! let pay = || idem.execute("payment:42", Duration::from_secs(900), async { Ok::<_, Error>("receipt 1".to_owned()) });
//! assert_eq!(pay().await?, "receipt 1");
//! assert_eq!(pay().await?, "receipt 1"); // replayed
//! # Ok(())
//! # }
//! ```
//!
//! What is guaranteed and what is not, how to choose `ttl`, `lease` and the policies, and what each storage can lose is in the
//! [README](https://github.com/idempotency-rs/idempotency#readme).
//!
//! | to | see |
//! |---|---|
//! | annotate functions | [`#[idempotent]`](macro@idempotent), [`set_global`], [`with`] |
//! | run a body without the attribute | [`Idempotency::execute`], [`Idempotency::operation`] |
//! | know where a result comes from | [`Outcome`], [`Source`] |
//! | act on an error | [`ErrorKind`] |
//! | hand fence and key downstream | [`current`] |
//! | make keys | [`key`] |
//! | choose or write a storage | [`storage`] |
//! | choose or write a codec | [`codec`] |
//! | honour the header `Idempotency-Key` | the module `http` (feature `http`) |
//! | commit a call with the application's own transaction | the module `transaction` (features `postgres`, `mysql`, `sqlite`) |
//! | publish events with a transaction | the module `outbox` (feature `outbox`) |
//! | watch what happens | [`hooks`], the features `metrics` and tracing's spans |
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `macros` (default) | the attribute |
//! | `json` (default), `msgpack` | codecs |
//! | `redis`, `redis-sentinel`, `redis-cluster`, `redis-tls` | storages |
//! | `postgres`, `mysql`, `sqlite` | storages |
//! | `http` | the header `Idempotency-Key` for axum and other tower services |
//! | `outbox` | the `outbox` module: events that are published if and only if a transaction commits; `nats` adds NATS JetStream |
//! | `metrics` | counters and histograms through the `metrics` facade |
//! | `testing` | conformance suite, manual clock, fault-injecting storage |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
#[doc(inline)]
pub use idem_http as http;
#[cfg(feature = "outbox")]
#[cfg_attr(docsrs, doc(cfg(feature = "outbox")))]
#[doc(inline)]
pub use idem_outbox as outbox;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))))]
#[doc(no_inline)]
pub use idem_runtime::sqlx;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub use idem_runtime::testing;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))))]
pub use idem_runtime::transaction;
pub use idem_runtime::{
    Context, CrashPolicy, Disposition, Error, ErrorKind, Fingerprint, Idempotency,
    IdempotencyBuilder, Key, Operation, Outcome, Source, canonical, clock, codec, current,
    fingerprint, handle, hooks, key, operation, policy, record, set_global, storage, with,
};

#[cfg(feature = "macros")]
#[cfg_attr(docsrs, doc(cfg(feature = "macros")))]
#[doc = include_str!("idempotent.md")]
pub use idem_macros::idempotent;

#[doc(hidden)]
pub use idem_runtime::macro_support as __private;

#[cfg(all(doctest, feature = "macros", feature = "json"))]
#[doc = include_str!("../README.md")]
mod readme {}
