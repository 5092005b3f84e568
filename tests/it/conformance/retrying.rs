//! A storage that does what the engine does with transient errors: it asks again, with the same owner and the same arguments.

use idem_runtime::key::RecordKey;
use idem_runtime::record::Record;
use idem_runtime::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, Wakeup, Written,
};

#[derive(Clone)]
pub(super) struct Retrying<S>(pub(super) S);

/// A macro, since a closure's future cannot be known to be `Send` here.
macro_rules! retry {
    ($call:expr) => {
        loop {
            match $call.await {
                Err(error) if error.is_transient() => {}
                answer => return answer,
            }
        }
    };
}

impl<S: Storage> Storage for Retrying<S> {
    fn backend(&self) -> &'static str {
        self.0.backend()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        let before = self.load(&claim.key).await.ok().flatten();
        let was_parked = before.is_some_and(|record| record.is_parked());
        loop {
            match self.0.claim(claim).await {
                Err(error) if error.is_transient() => {}
                // By the attempt whose reply was lost.
                Ok(Claimed::Replay(end)) if end.finish.is_parked() && !was_parked => {
                    return Ok(Claimed::Parked(end));
                }
                answer => return answer,
            }
        }
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        loop {
            let answers = self.0.renew(renewals).await;
            let transient = |answer: &Result<_, StorageError>| {
                answer.as_ref().is_err_and(StorageError::is_transient)
            };
            if !answers.iter().any(transient) {
                return answers;
            }
        }
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        retry!(self.0.complete(complete))
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        retry!(self.0.release(release))
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        retry!(self.0.load(key))
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        retry!(self.0.purge(limit))
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        retry!(self.0.scan(after, limit))
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        retry!(self.0.watch(key))
    }
}
