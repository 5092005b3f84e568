//! A disk whose power can fail: what was not flushed is gone then.

use std::io;
use std::sync::Arc;

use idempotency::testing::conformance;
use parking_lot::Mutex;
use redb::StorageBackend;

use crate::harness::OnRedb;

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
}

impl Disk {
    /// Fails at the next flush, of which nothing gets to the disk.
    pub(crate) fn fail_next(&self) {
        self.0.lock().fails = true;
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
        .filter(|case| matches!(case.outcome(), conformance::Outcome::Unsupported(_)))
        .filter(|case| !case.name().starts_with("lost::"));
    assert_eq!(unsupported.count(), 0, "{report}");
}
