//! A TCP proxy with faults that a test switches on and off.
//!
//! ```text
//!              requests ──▶ drop_requests, delay_requests ──▶
//!   client                                                    server
//!              ◀── delay, drop_replies ◀── replies
//! ```
//!
//! | fault | the client sees |
//! |---|---|
//! | [`cut`](FaultProxy::cut) | all its connections close now; new ones work |
//! | [`refuse`](FaultProxy::refuse) | new connections are refused; open ones go on |
//! | [`delay`](FaultProxy::delay), [`delay_requests`](FaultProxy::delay_requests) | a slow server; a server that gets its requests late |
//! | [`drop_requests`](FaultProxy::drop_requests) | no answer, and nothing happened |
//! | [`drop_replies`](FaultProxy::drop_replies) | no answer, and the server did what it was asked to |
//!
//! The proxy knows no protocol: a request is what one read from the client gave, a reply what one read from the server gave. A test that
//! loses *the* reply to a request therefore has that one request under way on the connection; with more of them, others are lost as well.
//! A connection that lost something is closed or hangs; it never goes on, since TCP does not lose bytes from the middle either.

mod faults;
mod handle;
mod relay;

pub use faults::{Counts, Loss};
pub use handle::FaultProxy;
