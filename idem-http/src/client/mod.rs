//! The other side: a tower layer for HTTP clients, which sends a request until it knows what came of it, always with the same key.
//!
//! 1. A request of another method than POST and PATCH passes through, unless it has a key.
//! 2. One without a key gets one, a UUID. It stays the same for all attempts; a request of one's own that is made again is another one.
//! 3. Where there is no response (no connection, a connection that broke off), it is sent again after a pause.
//! 4. Likewise after a 408, 425, 429 or 5xx, and after a 409 that says when to come back; `Retry-After` is the pause then. A replayed response is
//!    not asked for again: it would stay the same.
//! 5. When it has been sent as often as it may be, or the pause is longer than the time that is left, the last response or error is the caller's.
//! 6. Every other response is the caller's.
//!
//! How long one attempt may take is for a layer inside of this one to say, such as tower's `Timeout`; its error is one of line 3.

mod retry;

pub use retry::{RetryLayer, RetryService};
