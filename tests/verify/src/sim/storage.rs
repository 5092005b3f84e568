//! The storage that a process sees: it sends requests and waits for replies, but not for long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::key::RecordKey;
use idem_runtime::record::Record;
use idem_runtime::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError,
    StorageErrorKind, Wakeup, Watchers, Written,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::network::Address;
use super::server::{Reply, Request};
use super::world::SharedWorld;

/// How long a process waits for a reply.
const PATIENCE: Duration = Duration::from_millis(40);

/// A process's connection to the server.
pub struct Connection {
    world: SharedWorld,
    own: Address,
    watchers: Watchers,
}

impl Connection {
    /// The connection of a process.
    pub fn new(world: SharedWorld, own: Address, watchers: Watchers) -> Self {
        Self { world, own, watchers }
    }

    async fn ask(&self, request: Request) -> Result<Reply, StorageError> {
        let (answer, mut reply) = oneshot::channel();
        self.world.lock().send(self.own, Arc::new(request), answer);
        match timeout(PATIENCE, &mut reply).await {
            Ok(Ok(Reply::Refused)) => {
                Err(StorageError::new(StorageErrorKind::NotApplied, "the connection was refused"))
            }
            Ok(Ok(Reply::Reset)) => Err(indeterminate("the connection broke")),
            Ok(Ok(reply)) => Ok(reply),
            // What is lost is not known to be lost: whoever waits for it does so to the end.
            Ok(Err(_)) => {
                tokio::time::sleep(PATIENCE).await;
                Err(indeterminate("no answer"))
            }
            Err(_) => Err(indeterminate("no answer in time")),
        }
    }

    async fn write(&self, request: Request) -> Result<Written, StorageError> {
        match self.ask(request).await? {
            Reply::Written(mut written) => written.pop().ok_or_else(misunderstood),
            _ => Err(misunderstood()),
        }
    }
}

fn indeterminate(text: &'static str) -> StorageError {
    StorageError::new(StorageErrorKind::Indeterminate, text)
}

fn misunderstood() -> StorageError {
    StorageError::new(StorageErrorKind::Corrupt, "the answer does not fit the question")
}

/// The engine decides on nothing that tools use.
fn unused() -> StorageError {
    StorageError::new(StorageErrorKind::NotApplied, "the engine does not ask for this")
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Storage for Connection {
    fn backend(&self) -> &'static str {
        "simulated"
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        match self.ask(Request::Claim(claim.clone())).await? {
            Reply::Claimed(claimed) => Ok(claimed),
            _ => Err(misunderstood()),
        }
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        let mut sorted: Vec<(usize, &Renew)> = renewals.iter().enumerate().collect();
        // The engine's order depends on random numbers of the process.
        sorted.sort_by_key(|(_, renew)| renew.key.as_str());
        let request = sorted.iter().map(|(_, renew)| (*renew).clone()).collect();
        match self.ask(Request::Renew(request)).await {
            Ok(Reply::Written(written)) => {
                let mut answers: Vec<_> =
                    sorted.into_iter().map(|(at, _)| at).zip(written).collect();
                answers.sort_by_key(|(at, _)| *at);
                answers.into_iter().map(|(_, written)| Ok(written)).collect()
            }
            Ok(_) => renewals.iter().map(|_| Err(misunderstood())).collect(),
            Err(error) => renewals.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        self.write(Request::Complete(complete.clone())).await
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.write(Request::Release(release.clone())).await
    }

    async fn load(&self, _key: &RecordKey) -> Result<Option<Record>, StorageError> {
        Err(unused())
    }

    async fn purge(&self, _limit: usize) -> Result<u64, StorageError> {
        Err(unused())
    }

    async fn scan(&self, _after: Option<&Cursor>, _limit: usize) -> Result<Page, StorageError> {
        Err(unused())
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(Some(self.watchers.subscribe(key).0))
    }
}
