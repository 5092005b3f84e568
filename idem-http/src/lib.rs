//! The header `Idempotency-Key` as a tower layer, on the same engine and storages as
//! `#[idempotent]` functions. Use it through the facade: `idempotency::http`, feature `http`.
//!
//! The layer implements draft-ietf-httpapi-idempotency-key-header-07, the last version of a draft
//! of the IETF that expired on 2026-04-18. It did not become an RFC, and no other document replaced
//! it: each API documents its own rules. [`Profile::ietf`] follows the draft and
//! [`Profile::stripe`] the API that most others imitate.
//!
//! ```
//! # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), idem_runtime::Error> {
//! use axum::{Router, routing::post};
//! use idempotency::http::{IdempotencyLayer, anonymous};
//! use idempotency::Idempotency;
//!
//! let idem = Idempotency::connect("memory:").await?; // or redis://…
//! let router: Router = Router::new()
//!     .route("/payments", post(async || "paid"))
//!     .route_layer(IdempotencyLayer::new(idem, anonymous()));
//! # Ok(())
//! # }
//! ```
//!
//! # How a request is handled
//!
//! The first matching line decides:
//!
//! 1. The method is not one of the layer's (POST and PATCH), or another such layer outside of this one already handles
//!    the request: it passes through untouched.
//! 2. It has no key: 400 `key-missing` if one is required; otherwise it passes through untouched.
//! 3. It has two keys: 400 `key-repeated`.
//! 4. The key is malformed or too long: 400 `key-malformed`, `key-too-long`.
//! 5. The principal resolver does not know the sender: 403 `principal-unknown`.
//! 6. Its body has more bytes than the limit: 413 `body-too-large`; or it is handled without
//!    idempotency, and the response has the header `Idempotency-Bypassed`.
//! 7. Its body does not arrive: 408 `body-timeout`, 400 `body-unreadable`. Nothing has been claimed yet.
//! 8. The storage is down, or does not answer within the handle's `claim_timeout`: 503
//!    `storage-unavailable`, and the request is not handled; or, if the layer
//!    [fails open](IdempotencyLayer::fail_open), it is handled without idempotency.
//! 9. The principal used the key before for another request, whatever its outcome: 422 `key-reused`. Another request
//!    has another method, path, query, `Content-Type`, `Content-Encoding` or body. Bodies are compared by their
//!    [content type](#fingerprints).
//! 10. A request with the key is in progress: this one [waits](IdempotencyLayer::wait) for its
//!     response, and then gets a 409 `in-progress` with a short `Retry-After`.
//! 11. A request with the key was handled: its response, with `Idempotent-Replayed: true`.
//! 12. A request with the key was handled and its response could not be stored: 409 `response-not-stored`. Its process
//!     died and the crash policy is to park: 409 `outcome-unknown`.
//! 13. The principal has used up its [quota](IdempotencyLayer::quota) of new keys: 429 `quota-exceeded` with `Retry-After`.
//! 14. Otherwise the handler runs, to completion even if the client disconnects. A panic is a crash, resolved by the
//!     crash policy, and a 500 `handler-failed`; so is a response that breaks off while it is read.
//! 15. Its response has a status that is not stored (401, 408, 425, 429, 5xx), or is another error
//!     with `Retry-After`: it goes to the client and the key is released, so that a retry is handled
//!     again, and another request with the key is still refused by line 9.
//! 16. Its response is a stream of server-sent events or an upgrade to another protocol: as in line 15, without being
//!     read. Its body exceeds the limit: it goes to the client; duplicates get line 12, or the key is
//!     released and the response has the header `Idempotency-Bypassed`.
//! 17. Its body is read completely. Its status, the listed headers, its body and its trailers are
//!     stored, and the response goes to the client unchanged.
//!
//! # Fingerprints
//!
//! A legitimate retry may have other bytes. Bodies are compared by their content type:
//!
//! | body | compared | byte for byte where |
//! |---|---|---|
//! | `application/json`, `…+json` | as [canonical JSON](idem_runtime::canonical::from_json): without the order of members, white space and the spelling of strings and numbers | it is no JSON, a name occurs twice in an object, it is nested deeper than 127, its `charset` is not UTF-8 |
//! | `multipart/…` | part by part, in their order: headers byte for byte, content by its type; without the boundary | there is text before the first part or behind the last, or the boundary is anywhere but between parts |
//! | with a `Content-Encoding` | byte for byte | always |
//! | anything else | byte for byte | always |
//!
//! Bodies that are compared in different ways are different requests.
//! [`exact_bodies`](IdempotencyLayer::exact_bodies) compares all of them byte for byte, and
//! [`fingerprint_body`](IdempotencyLayer::fingerprint_body) takes a function that decides for other
//! content types.
//!
//! ## Webhooks
//!
//! The sender of a webhook redelivers an event until it gets a 2xx, often with fields that change
//! between deliveries: Stripe counts down `pending_webhooks`. Use the event's id as the key, and
//! ignore the data of the delivery, which cannot change the effect:
//!
//! ```
//! # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
//! use idempotency::http::{BodyFingerprint, IdempotencyLayer, Principal};
//!
//! # let idem = idem_runtime::Idempotency::memory();
//! let stripe = |_: &http::request::Parts| Some(Principal::named("stripe"));
//! let layer = IdempotencyLayer::new(idem, stripe).fingerprint_body(|_, body| {
//!     BodyFingerprint::json_without(body, &["pending_webhooks"])
//! });
//! # let _ = layer;
//! ```
//!
//! The complete recipe, with the source of the key and other senders, is [a page of its
//! own](https://github.com/idempotency-rs/idempotency/blob/main/docs/http-fingerprints.md#webhooks).
//!
//! # What is stored
//!
//! The status, the body, its trailers, and these headers: `Cache-Control`, `Content-Disposition`,
//! `Content-Encoding`, `Content-Language`, `Content-Location`, `Content-Range`,
//! `Content-Security-Policy`, `Content-Type`, `ETag`, `Expires`, `Last-Modified`, `Link`,
//! `Location`, `Vary`, and the headers of [`replay_header`](IdempotencyLayer::replay_header).
//! Never: `Set-Cookie`, `Date`, credentials, and headers of one connection.
//!
//! # The client's side
//!
//! [`client`] sends requests until there is an answer, always with the same key.
//!
//! # Runtime
//!
//! The service must be called on a tokio runtime with timers, as servers do. If the client
//! disconnects, the handler continues in a task of its own, inside the spans of the outer
//! middleware, but without its task-locals.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums)]

mod answer;
mod body;
mod bypass;
mod call;
pub mod client;
mod config;
mod extract;
mod fingerprint;
mod future;
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod layer;
mod principal;
mod problem;
mod profile;
mod quota;
mod request;
mod service;
mod snapshot;
mod tasks;
mod telemetry;
mod unstoppable;

pub use body::Body;
pub use config::OverLimit;
pub use extract::{IdempotencyKey, IdempotentRun};
pub use fingerprint::BodyFingerprint;
pub use future::ResponseFuture;
pub use layer::IdempotencyLayer;
pub use principal::{Principal, ResolvePrincipal, anonymous, extension};
pub use problem::{PROBLEMS_PAGE, Problem, ProblemKind};
pub use profile::Profile;
pub use service::IdempotencyService;
pub use tasks::Tasks;
