//! Messages that are late, lost, repeated, refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::server::{Reply, Request};

/// Which process, and which life of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Which.
    pub process: usize,
    /// How often it has started before.
    pub life: u32,
}

/// A message under way.
#[derive(Debug)]
pub enum Message {
    /// To the server; a repeated one has nobody who waits for the answer.
    Request {
        /// Whose.
        from: Address,
        /// What for.
        request: Arc<Request>,
        /// Who waits.
        answer: Option<oneshot::Sender<Reply>>,
    },
    /// From the server.
    Reply {
        /// Whose.
        to: Address,
        /// What it says.
        reply: Reply,
        /// Who waits.
        answer: oneshot::Sender<Reply>,
    },
    /// From the server to a process: the key may have changed.
    Wake {
        /// Which.
        to: usize,
        /// The record's name.
        key: String,
    },
}

/// How often things go wrong, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// A message is lost.
    pub loss: u32,
    /// A request arrives again, later.
    pub repeat: u32,
    /// A message is late, perhaps later than a lease.
    pub delay: u32,
    /// A connection is refused, or breaks when the request is on its way.
    pub reset: u32,
}

/// The messages that are under way.
#[derive(Debug, Default)]
pub struct Network {
    messages: BTreeMap<(u64, u64), Message>,
    sent: u64,
}

impl Network {
    /// Puts a message under way.
    pub fn send(&mut self, arrives: u64, message: Message) {
        self.sent += 1;
        self.messages.insert((arrives, self.sent), message);
    }

    /// The next message that arrives until now.
    pub fn arrived(&mut self, now: u64) -> Option<Message> {
        let next = self.messages.first_entry()?;
        (next.key().0 <= now).then(|| next.remove())
    }
}
