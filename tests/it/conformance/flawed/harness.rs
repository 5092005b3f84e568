//! The flawed storage on the suite's bench, with every harm there is.

use std::time::Duration;

use idem_runtime::clock::Clock;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::conformance::{Harm, Harness, Inflicted, Opened};

use super::flaw::Flaw;
use super::storage::{Flawed, Loss};

pub(crate) struct OnFlawed(Flawed);

impl OnFlawed {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self(Flawed::new(flaw))
    }

    /// The first of harnesses that share a store, on a clock that runs with the runtime's time.
    pub(crate) fn shared(flaw: Flaw) -> Self {
        Self(Flawed::with_tokio(flaw))
    }

    /// Another one on the same store.
    pub(crate) fn another(&self) -> Self {
        Self(self.0.handle())
    }
}

impl Harness for OnFlawed {
    type Storage = Flawed;

    fn storage(&self) -> &Flawed {
        &self.0
    }

    async fn now(&self) -> Timestamp {
        // That of a storage which is flawed in its clock is another.
        if self.0.flaw == Flaw::WallClock { self.0.clock.now() } else { self.0.now() }
    }

    async fn elapse(&self, duration: Duration) {
        if self.clock_is_exact() {
            self.0.clock.advance(duration);
        } else {
            tokio::time::sleep(duration).await;
        }
    }

    fn clock_is_exact(&self) -> bool {
        self.0.flaw == Flaw::WallClock || self.0.runs_by_hand()
    }

    fn expires_by_itself(&self) -> bool {
        self.0.flaw == Flaw::PurgeCountsWhatExpiredByItself
    }

    async fn second(&self) -> Opened<Flawed> {
        Opened::Done(self.0.handle())
    }

    async fn reopen(self) -> Opened<Self> {
        Opened::Done(Self(self.0.reopen()))
    }

    async fn inflict(&self, harm: Harm<'_>) -> Inflicted {
        let lose = |loss| {
            self.0.losses.lock().push_back(loss);
            Inflicted::Done
        };
        let (key, kind) = match harm {
            Harm::Garbage(key) | Harm::Truncated(key) => (key, StorageErrorKind::Corrupt),
            Harm::NewerVersion(key) => (key, StorageErrorKind::NewerVersion),
            Harm::NextRequestLost => return lose(Loss::Request),
            Harm::NextReplyLost => return lose(Loss::Reply),
            Harm::NextCommitFails => return lose(Loss::Commit),
            _ => return Inflicted::Unsupported("a harm that this test does not know"),
        };
        self.0.data.records.lock().insert(key.clone(), Err(kind));
        Inflicted::Done
    }
}
