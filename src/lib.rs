//! Makes an async operation take effect once, however often it is called: client retries,
//! redelivered messages, job re-runs, crashes half way. Every duplicate gets the first call's
//! result.
//!
//! Annotate a function with `#[idempotent]` (feature `macros`, on by default) and set a storage
//! with [`set_global`] at start-up:
//!
//! ```
//! # #[cfg(feature = "macros")]
//! # mod shown {
//! use idempotency::{Error, Idempotency, idempotent};
//!
//! #[idempotent(key = "charge:{order}", ttl = "15m")]
//! async fn charge(order: u64) -> Result<String, Error> {
//!     Ok(format!("receipt of order {order}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # pub async fn main() -> Result<(), Error> {
//! // Or redis://…, postgres://…, mysql://…, sqlite:FILE
//! idempotency::set_global(Idempotency::connect("memory:").await?)?;
//! assert_eq!(charge(42).await?, "receipt of order 42");
//! assert_eq!(charge(42).await?, "receipt of order 42"); // replayed
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "macros")]
//! # shown::main().unwrap();
//! ```
//!
//! Without the attribute, [`Idempotency::operation`] runs a body on the same engine:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), idempotency::Error> {
//! use std::time::Duration;
//! use idempotency::{Error, Idempotency};
//!
//! let idem = Idempotency::connect("memory:").await?;
//! let receipt = idem
//!     .operation("charge")
//!     .key("order-42")
//!     .fingerprint(&("order-42", 1999))
//!     .ttl(Duration::from_secs(900))
//!     .run(async { Ok::<_, Error>("receipt 1".to_owned()) })
//!     .await?;
//! assert_eq!(receipt, "receipt 1");
//! # Ok(())
//! # }
//! ```
//!
//! The [README](https://github.com/idempotency-rs/idempotency#readme) has the guarantees, their one
//! gap, and what each storage can lose.
//!
//! | to | see |
//! |---|---|
//! | annotate functions | [`#[idempotent]`](macro@idempotent), [`set_global`], [`with`] |
//! | run a body without the attribute | [`Idempotency::execute`], [`Idempotency::operation`] |
//! | know where a result comes from | [`Outcome`], [`Source`] |
//! | act on an error | [`ErrorKind`] |
//! | pass key and fence downstream | [`current`] |
//! | make keys | [`key`] |
//! | choose or write a storage | [`storage`] |
//! | choose or write a codec | [`codec`] |
//! | honour the header `Idempotency-Key` | the module `http` (feature `http`) |
//! | commit a call with your own transaction | the module `transaction` (features `postgres`, `mysql`, `sqlite`) |
//! | publish events with a transaction | the module `outbox` (feature `outbox`) |
//! | observe calls | [`hooks`], the feature `metrics`, the spans of `tracing` |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `macros` (default) | the attribute |
//! | `json` (default), `msgpack` | codecs |
//! | `redis`, `redis-sentinel`, `redis-cluster`, `redis-tls` | Redis storages |
//! | `postgres`, `mysql`, `sqlite` | SQL storages |
//! | `http` | the module `http`: the header `Idempotency-Key` for axum and other tower services |
//! | `outbox` | the module `outbox`: events that are published if and only if a transaction commits; `nats` adds NATS JetStream |
//! | `metrics` | counters and histograms through the `metrics` facade |
//! | `testing` | the module `testing`: conformance suite, manual clock, fault-injecting storage |

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

/// Pages whose Rust examples run as tests.
#[cfg(all(doctest, feature = "macros", feature = "json"))]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/choosing.md")]
    mod choosing {}
    #[doc = include_str!("../docs/http.md")]
    mod http {}
}
