//! A disk whose power can fail: what was not flushed is gone then.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use idempotency::record::OwnerId;
use idempotency::storage::{Claimed, Lost, Renew, Storage, StorageErrorKind, Written};
use idempotency::testing::{ManualClock, conformance};
use parking_lot::Mutex;
use redb::{Database, StorageBackend};
use storage_redb::RedbStorage;

use crate::harness::OnRedb;
use crate::killed::claim;

/// What is on the disk, and what was only written to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    written: Vec<u8>,
    flushed: Vec<u8>,
    /// Where what is written is not flushed yet.
    pending: Vec<(usize, usize)>,
    fails: bool,
    flushes: usize,
}

impl Disk {
    /// Fails at the next flush, of which nothing gets to the disk.
    pub(crate) fn fail_next(&self) {
        self.0.lock().fails = true;
    }

    /// How often it was told to flush.
    fn flushes(&self) -> usize {
        self.0.lock().flushes
    }

    /// What is left when the power fails.
    pub(crate) fn after_power_failure(&self) -> Self {
        let flushed = self.0.lock().flushed.clone();
        let bytes = Bytes { written: flushed.clone(), flushed, ..Bytes::default() };
        Self(Arc::new(Mutex::new(bytes)))
    }
}

fn place(offset: u64, len: usize) -> io::Result<(usize, usize)> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    Ok((start, start + len))
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (start, end) = place(offset, out.len())?;
        let bytes = self.0.lock();
        let read = bytes.written.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(read);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.0.lock().written.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut bytes = self.0.lock();
        bytes.flushes += 1;
        if std::mem::take(&mut bytes.fails) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let Bytes { written, flushed, pending, .. } = &mut *bytes;
        flushed.resize(written.len(), 0);
        for (start, end) in pending.drain(..) {
            let end = end.min(written.len());
            if start < end {
                flushed[start..end].copy_from_slice(&written[start..end]);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (start, end) = place(offset, data.len())?;
        let mut bytes = self.0.lock();
        bytes
            .written
            .get_mut(start..end)
            .ok_or(io::ErrorKind::UnexpectedEof)?
            .copy_from_slice(data);
        bytes.pending.push((start, end));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storage_on_a_disk_whose_power_fails_conforms() {
    let report = conformance::run(async || OnRedb::on_disk(Disk::default())).await;
    println!("{report}");
    report.assert_passed();
    let unsupported = report
        .cases()
        .iter()
        .filter(|case| matches!(case.outcome(), conformance::CaseOutcome::Unsupported(_)))
        .filter(|case| !case.name().starts_with("lost::"));
    assert_eq!(unsupported.count(), 0, "{report}");
}

fn on(disk: &Disk, clock: ManualClock) -> RedbStorage {
    let database = Database::builder().create_with_backend(disk.clone());
    RedbStorage::new(database.expect("a disk can be written"), clock).expect("tables can be made")
}

/// Owners at work, whose leases a renewal then makes longer.
async fn at_work(storage: &RedbStorage, clock: &ManualClock, owners: usize) -> Vec<Renew> {
    let mut renewals = Vec::new();
    for number in 0..owners {
        let claim = claim(number);
        let answer = storage.claim(&claim).await.expect("an answer");
        assert!(matches!(answer, Claimed::Acquired { .. }));
        renewals.push(Renew { key: claim.key, owner: claim.owner });
    }
    clock.advance(Duration::from_secs(1));
    renewals
}

#[tokio::test]
async fn renewals_of_many_are_one_commit() {
    let (disk, clock) = (Disk::default(), ManualClock::new());
    let storage = on(&disk, clock.clone());
    let renewals = at_work(&storage, &clock, 40).await;
    let begun = disk.flushes();
    let answers = storage.renew(&renewals[..1]).await;
    assert!(matches!(&answers[..], [Ok(Written::Done)]), "{answers:?}");
    let of_one = disk.flushes() - begun;
    clock.advance(Duration::from_secs(1));
    let answers = storage.renew(&renewals).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Written::Done))), "{answers:?}");
    assert_eq!(answers.len(), 40);
    assert_eq!(disk.flushes() - begun - of_one, of_one);
}

#[tokio::test]
async fn renewals_whose_commit_fails_are_in_doubt_and_others_are_not() {
    let (disk, clock) = (Disk::default(), ManualClock::new());
    let storage = on(&disk, clock.clone());
    let mut renewals = at_work(&storage, &clock, 3).await;
    renewals[1].owner = OwnerId::random();
    disk.fail_next();
    let answers = storage.renew(&renewals).await;
    for changed in [0, 2] {
        let error = answers[changed].as_ref().expect_err("the commit has failed");
        assert_eq!(error.kind(), StorageErrorKind::Indeterminate);
    }
    assert!(matches!(answers[1], Ok(Written::LeaseLost(Lost::TakenOver))), "{answers:?}");
    assert_eq!(answers.len(), 3);
}

#[tokio::test]
async fn sign_of_life_fails_once_a_flush_has_failed_until_it_is_opened_again() {
    let (disk, clock) = (Disk::default(), ManualClock::new());
    let storage = on(&disk, clock.clone());
    storage.ping().await.expect("it lives");
    let first = claim(0);
    storage.claim(&first).await.expect("an answer");
    disk.fail_next();
    let error = storage.claim(&claim(1)).await.expect_err("the disk fails");
    assert_eq!(error.kind(), StorageErrorKind::Indeterminate);
    // The disk is well again, and what was there can be read; but redb writes no more.
    let there = storage.load(&first.key).await.expect("it can be read");
    assert_eq!(there.map(|record| record.owner), Some(first.owner));
    let error = storage.claim(&claim(2)).await.expect_err("redb refuses");
    assert_eq!(error.kind(), StorageErrorKind::NotApplied);
    let error = storage.ping().await.expect_err("it is not ready");
    assert_eq!(error.kind(), StorageErrorKind::NotApplied);

    let storage = on(&disk.after_power_failure(), clock);
    storage.ping().await.expect("it lives");
    storage.claim(&claim(2)).await.expect("an answer");
}
