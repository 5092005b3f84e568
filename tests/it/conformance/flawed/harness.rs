//! The flawed storage on the suite's bench, with every harm there is.

use std::time::Duration;

use idem_runtime::clock::Clock;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::conformance::{Harm, Harness, Inflicted};

use super::flaw::Flaw;
use super::storage::{Flawed, Loss};

pub(crate) struct OnFlawed(Flawed);

impl OnFlawed {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self(Flawed::new(flaw))
    }
}

impl Harness for OnFlawed {
    type Storage = Flawed;

    fn storage(&self) -> &Flawed {
        &self.0
    }

    async fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    async fn elapse(&self, duration: Duration) {
        self.0.clock.advance(duration);
    }

    async fn inflict(&self, harm: Harm<'_>) -> Inflicted {
        let (key, kind) = match harm {
            Harm::Garbage(key) | Harm::Truncated(key) => (key, StorageErrorKind::Corrupt),
            Harm::NewerVersion(key) => (key, StorageErrorKind::NewerVersion),
            Harm::NextRequestLost => {
                self.0.losses.lock().push_back(Loss::Request);
                return Inflicted::Done;
            }
            Harm::NextReplyLost => {
                self.0.losses.lock().push_back(Loss::Reply);
                return Inflicted::Done;
            }
            _ => return Inflicted::Unsupported("a harm that this test does not know"),
        };
        self.0.records.lock().insert(key.clone(), Err(kind));
        Inflicted::Done
    }
}
