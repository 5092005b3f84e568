//! A tracing wrapper around the storage under test: it records every call and its answer, so that a
//! failure shows the calls that led to it.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::Arc;

use parking_lot::Mutex;

use super::check::brief;
use crate::key::RecordKey;
use crate::record::Record;
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, Wakeup, Written,
};

/// Number of calls that a failure shows.
const SHOWN: usize = 6;

/// The last calls of a case.
#[derive(Clone, Default)]
pub(super) struct Trail(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    made: u64,
    last: VecDeque<Call>,
}

struct Call {
    number: u64,
    what: String,
    answer: Option<String>,
}

impl Trail {
    fn begin(&self, what: String) -> u64 {
        let mut calls = self.0.lock();
        calls.made += 1;
        let number = calls.made;
        if calls.last.len() == SHOWN {
            calls.last.pop_front();
        }
        calls.last.push_back(Call { number, what, answer: None });
        number
    }

    fn end(&self, number: u64, answer: &impl Debug) {
        let mut calls = self.0.lock();
        if let Some(call) = calls.last.iter_mut().find(|call| call.number == number) {
            call.answer = Some(brief(answer));
        }
    }

    /// Notes an event other than a call.
    pub(super) fn note(&self, what: String) {
        let number = self.begin(what);
        self.0.lock().last.iter_mut().filter(|call| call.number == number).for_each(|call| {
            call.answer = Some(String::new());
        });
    }

    /// The last calls, one a line.
    pub(super) fn render(&self) -> String {
        let calls = self.0.lock();
        let mut text = String::new();
        for Call { number, what, answer } in &calls.last {
            let _ = match answer.as_deref() {
                Some("") => write!(text, "\n      {number}. {what}"),
                Some(answer) => write!(text, "\n      {number}. {what}: {answer}"),
                None => write!(text, "\n      {number}. {what}: no answer yet"),
            };
        }
        text
    }
}

/// A handle of the storage under test that records its calls in a trail.
pub(super) struct Traced<'s, S> {
    storage: &'s S,
    trail: &'s Trail,
    name: &'static str,
}

impl<S> Clone for Traced<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Traced<'_, S> {}

impl<'s, S: Storage> Traced<'s, S> {
    /// `name` is the prefix of the handle's calls in the trail; empty for the first handle.
    pub(super) fn new(storage: &'s S, trail: &'s Trail, name: &'static str) -> Self {
        Self { storage, trail, name }
    }

    pub(super) fn backend(self) -> &'static str {
        self.storage.backend()
    }

    async fn traced<T: Debug>(self, call: String, answer: impl Future<Output = T>) -> T {
        let number = self.trail.begin(format!("{}{call}", self.name));
        let answer = answer.await;
        self.trail.end(number, &answer);
        answer
    }

    pub(super) async fn claim(self, claim: &Claim) -> Result<Claimed, StorageError> {
        let Claim { key, owner, fingerprint, lease, ttl, on_crash } = claim;
        let call = format!(
            "claim of {key:?} by {owner} with {fingerprint}, lease {lease:?}, ttl {ttl:?}, {on_crash:?}"
        );
        self.traced(call, self.storage.claim(claim)).await
    }

    pub(super) async fn renew(self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        let call = match renewals {
            [Renew { key, owner }] => format!("renew of {key:?} by {owner}"),
            [Renew { key, owner }, ..] => {
                let others = renewals.len() - 1;
                format!("renew of {key:?} by {owner} and {others} others")
            }
            [] => "renew of nothing".to_owned(),
        };
        self.traced(call, self.storage.renew(renewals)).await
    }

    pub(super) async fn complete(self, complete: &Complete) -> Result<Written, StorageError> {
        let Complete { key, owner, finish, ttl } = complete;
        let call = format!("complete of {key:?} by {owner} with {finish:?}, ttl {ttl:?}");
        self.traced(call, self.storage.complete(complete)).await
    }

    pub(super) async fn release(self, release: &Release) -> Result<Written, StorageError> {
        let Release { key, owner } = release;
        self.traced(format!("release of {key:?} by {owner}"), self.storage.release(release)).await
    }

    pub(super) async fn load(self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.traced(format!("load of {key:?}"), self.storage.load(key)).await
    }

    pub(super) async fn purge(self, limit: usize) -> Result<u64, StorageError> {
        self.traced(format!("purge of at most {limit}"), self.storage.purge(limit)).await
    }

    pub(super) async fn scan(
        self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StorageError> {
        let call = format!("scan of {limit} after {after:?}");
        self.traced(call, self.storage.scan(after, limit)).await
    }

    pub(super) async fn watch(self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        self.traced(format!("watch of {key:?}"), self.storage.watch(key)).await
    }
}
