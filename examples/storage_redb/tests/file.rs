//! The storage in a file.

use idempotency::Idempotency;
use idempotency::storage::StorageErrorKind;
use idempotency::testing::conformance;
use storage_redb::RedbStorage;

use crate::harness::OnRedb;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storage_in_a_file_conforms() {
    let report = conformance::run(async || OnRedb::in_a_file()).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test]
async fn storage_is_opened_from_a_url() {
    storage_redb::register().expect("nobody else has");
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("redb:{}", dir.path().join("records.redb").display());
    let idem = Idempotency::connect(&url).await.expect("a file can be made there");
    let ttl = std::time::Duration::from_secs(60);
    let pay = || idem.execute("payment:42", ttl, async { Ok::<_, idempotency::Error>(1) });
    assert_eq!(pay().await.expect("it runs"), 1);
    assert_eq!(pay().await.expect("it is replayed"), 1);

    let nowhere = format!("redb:{}", dir.path().join("missing/records.redb").display());
    let error = Idempotency::connect(&nowhere).await.expect_err("there is no such directory");
    assert_eq!(error.kind(), idempotency::ErrorKind::Configuration);
}

#[test]
fn what_is_no_file_of_redbs_is_not_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("other");
    std::fs::write(&file, b"something else").expect("it can be written");
    let error = RedbStorage::open(&file).expect_err("it is no database");
    assert_eq!(error.kind(), StorageErrorKind::Configuration);
    assert_eq!(std::fs::read(&file).expect("it can be read"), b"something else");
}
