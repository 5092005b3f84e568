//! The storage on the suite's bench.

use std::time::Duration;

use idempotency::clock::Clock;
use idempotency::key::RecordKey;
use idempotency::record::Timestamp;
use idempotency::testing::ManualClock;
use idempotency::testing::conformance::{Harm, Harness, Inflicted, Opened};
use redb::{Database, ReadableTable};
use storage_redb::RedbStorage;
use storage_redb::tables::RECORDS;
use tempfile::TempDir;

use crate::disk::Disk;

/// Where the bytes are.
enum Place {
    File(TempDir),
    Disk(Disk),
}

pub(crate) struct OnRedb {
    clock: ManualClock,
    storage: RedbStorage,
    place: Place,
}

const FILE: &str = "records.redb";

impl OnRedb {
    pub(crate) fn in_a_file() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::in_dir(dir, ManualClock::new())
    }

    pub(crate) fn on_disk(disk: Disk) -> Self {
        Self::with_disk(disk, ManualClock::new())
    }

    fn in_dir(dir: TempDir, clock: ManualClock) -> Self {
        let database = Database::create(dir.path().join(FILE)).expect("a file can be made");
        Self::with(database, Place::File(dir), clock)
    }

    fn with_disk(disk: Disk, clock: ManualClock) -> Self {
        let database = Database::builder().create_with_backend(disk.clone());
        Self::with(database.expect("a disk can be written"), Place::Disk(disk), clock)
    }

    fn with(database: Database, place: Place, clock: ManualClock) -> Self {
        let storage = RedbStorage::new(database, clock.clone());
        Self { clock, storage: storage.expect("tables can be made"), place }
    }

    /// Changes the bytes of a record and nothing else.
    fn damage(&self, key: &RecordKey, damage: impl FnOnce(&mut Vec<u8>)) -> Inflicted {
        let transaction = self.storage.database().begin_write().expect("a transaction");
        {
            let mut records = transaction.open_table(RECORDS).expect("the table is there");
            let stored = records.get(key.as_str()).expect("it can be read");
            let stored = stored.map(|bytes| bytes.value().to_vec());
            let mut bytes = stored.expect("the record is there");
            damage(&mut bytes);
            records.insert(key.as_str(), &*bytes).expect("it can be written");
        }
        transaction.commit().expect("a commit");
        Inflicted::Done
    }
}

impl Harness for OnRedb {
    type Storage = RedbStorage;

    fn storage(&self) -> &RedbStorage {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn elapse(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    fn clock_is_exact(&self) -> bool {
        true
    }

    /// One process opens a file at a time, and a database makes one storage, so clones are how it is shared.
    async fn second(&self) -> Opened<RedbStorage> {
        Opened::Done(self.storage.clone())
    }

    /// Without closing it before, which would tidy up.
    async fn reopen(self) -> Opened<Self> {
        let clock = self.clock.clone();
        Opened::Done(match &self.place {
            Place::File(dir) => {
                let copied = tempfile::tempdir().expect("a directory");
                let (from, to) = (dir.path().join(FILE), copied.path().join(FILE));
                std::fs::copy(from, to).expect("a file can be copied");
                Self::in_dir(copied, clock)
            }
            Place::Disk(disk) => Self::with_disk(disk.after_power_failure(), clock),
        })
    }

    async fn inflict(&self, harm: Harm<'_>) -> Inflicted {
        match harm {
            Harm::Garbage(key) => self.damage(key, |bytes| *bytes = b"{\"done\":true}".to_vec()),
            Harm::Truncated(key) => self.damage(key, |bytes| bytes.truncate(bytes.len() - 1)),
            Harm::NewerVersion(key) => self.damage(key, |bytes| bytes[0] += 1),
            Harm::NextCommitFails => match &self.place {
                Place::Disk(disk) => {
                    disk.fail_next();
                    Inflicted::Done
                }
                Place::File(_) => Inflicted::Unsupported("the disk of this machine does not fail"),
            },
            _ => Inflicted::Unsupported("nothing lies between the storage and its file"),
        }
    }
}
