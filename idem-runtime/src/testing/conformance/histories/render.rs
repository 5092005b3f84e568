//! Renders answers and records as text, for comparing a storage with the table.

use std::time::Duration;

use super::known::{call, finishes, owner_number};
use crate::record::{Finish, Record, State, Timestamp, millis};
use crate::storage::{Claimed, Lost, StorageError, Written};

/// The precision of rendered times.
#[derive(Clone, Copy)]
pub(super) struct Precision {
    pub(super) exact: bool,
}

impl Precision {
    /// A time to the millisecond, or to five seconds: then every duration is a multiple of five
    /// seconds and a history takes less.
    fn time(self, left: Duration) -> String {
        if self.exact {
            format!("{} ms", millis(left))
        } else {
            format!("{} s", left.as_millis().div_ceil(5000) * 5)
        }
    }

    pub(super) fn claimed(self, claimed: Result<Claimed, StorageError>) -> String {
        match claimed {
            Ok(Claimed::Acquired { fence, recovered }) => {
                let from = if recovered { "by takeover" } else { "free" };
                format!("acquired {from}, fence {fence}")
            }
            Ok(Claimed::InProgress { lease_left }) => {
                format!("in progress for {}", self.time(lease_left))
            }
            Ok(Claimed::Replay(finished)) => format!("replay of {}", number(&finished.finish)),
            Ok(Claimed::Parked(finished)) => format!("parked as {}", number(&finished.finish)),
            Ok(Claimed::Mismatch) => "mismatch".to_owned(),
            Err(error) => render_error(&error),
        }
    }

    pub(super) fn record(self, record: Option<&Record>, now: Timestamp) -> String {
        let Some(Record { fingerprint, owner, fence, state, expires_at }) = record else {
            return "nothing".to_owned();
        };
        let kept = match *expires_at {
            Timestamp::NEVER => "ever".to_owned(),
            expires_at => self.time(expires_at.left_at(now)),
        };
        let state = match state {
            State::Processing { lease, ttl, on_crash, lease_until, recovered } => {
                let left = self.time(lease_until.left_at(now));
                let (lease, ttl) = (millis(*lease), millis(*ttl));
                let from = if *recovered { ", by takeover" } else { "" };
                format!("in progress for {left} of {lease} ms, ttl {ttl} ms, {on_crash:?}{from}")
            }
            State::Released => "released".to_owned(),
            State::Finished(finished) => {
                let ago = if self.exact {
                    format!(" {} ms ago", millis(now.left_at(finished.at)))
                } else {
                    String::new()
                };
                format!("finished with {}{ago}", number(&finished.finish))
            }
        };
        let call = (0..2).find(|arguments| call(*arguments) == *fingerprint);
        let call = call.map_or_else(|| fingerprint.to_string(), |number| number.to_string());
        let owner = owner_number(*owner);
        format!("{state}, by owner {owner} with fence {fence} for call {call}, kept for {kept}")
    }
}

pub(super) fn render_written(written: Result<Written, StorageError>) -> String {
    match written {
        Ok(Written::Done) => "done".to_owned(),
        Ok(Written::LeaseLost(Lost::Gone)) => "lost, gone".to_owned(),
        Ok(Written::LeaseLost(Lost::TakenOver)) => "lost, taken over".to_owned(),
        Ok(Written::LeaseLost(Lost::Finished(finished))) => {
            format!("lost, finished with {}", number(&finished.finish))
        }
        Err(error) => render_error(&error),
    }
}

pub(super) fn render_error(error: &StorageError) -> String {
    format!("the error {:?}: {error}", error.kind())
}

/// The number of an outcome: `Debug` shows no payloads and messages.
fn number(finish: &Finish) -> String {
    let number = finishes().iter().position(|known| known == finish);
    number.map_or_else(|| "an unknown outcome".to_owned(), |number| format!("no. {number}"))
}
