//! A tower layer for HTTP clients: it sends a request until its outcome is known, always with the
//! same key.
//!
//! 1. A request of another method than POST and PATCH passes through, unless it has a key.
//! 2. A request without a key gets a UUID, the same for all attempts. A request that the caller makes again is another one.
//! 3. Without a response (no connection, a broken connection) it is sent again after a pause.
//! 4. After a 408, 425, 429 or 5xx, or a 409 with `Retry-After`, it is sent again after a pause, which is `Retry-After`
//!    if there is one. A replayed response stays the same, so the request is not sent again.
//! 5. After the last attempt, or if the pause exceeds the remaining time, the caller gets the last response or error.
//! 6. The caller gets every other response.
//!
//! The limit for one attempt is the business of an inner layer, such as tower's `Timeout`; its
//! error is one of line 3.

mod retry;

pub use retry::{RetryLayer, RetryService};
