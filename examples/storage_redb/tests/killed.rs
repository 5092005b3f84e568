//! A process that is killed: what it was answered is there for the next one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use idempotency::key::RecordKey;
use idempotency::record::{CrashPolicy, OwnerId};
use idempotency::storage::{Claim, Claimed, Storage};
use idempotency::{Fingerprint, Key};
use storage_redb::RedbStorage;

/// Names the file to the process that is going to be killed, which is this test once more.
const FILE: &str = "STORAGE_REDB_KILLED";
const CLAIMED: &str = "claimed ";

pub(crate) fn claim(number: usize) -> Claim {
    let key = Key::new(format!("key {number}")).expect("a key");
    Claim {
        key: RecordKey::new("killed", None, &key).expect("a name"),
        owner: OwnerId::random(),
        fingerprint: Fingerprint::of("killed", &number).expect("a number has a form"),
        lease: Duration::from_secs(600),
        ttl: Duration::from_secs(600),
        on_crash: CrashPolicy::Retry,
    }
}

/// Claims one key after the other, and says of each that it was answered.
async fn claim_for_ever(file: &Path) {
    let storage = RedbStorage::open(file).expect("a file");
    for number in 0.. {
        let answer = storage.claim(&claim(number)).await.expect("an answer");
        assert!(matches!(answer, Claimed::Acquired { .. }));
        println!("\n{CLAIMED}{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_kill() {
    if let Some(file) = std::env::var_os(FILE) {
        return claim_for_ever(Path::new(&file)).await;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("records.redb");
    let mut process = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "--nocapture", "killed::what_was_answered_outlives_a_kill"])
        .env(FILE, &file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut answered = 0;
    let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.strip_prefix(CLAIMED) {
            answered = number.parse::<usize>().expect("a number") + 1;
            if answered == 20 {
                break;
            }
        }
    }
    process.kill().expect("it can be killed");
    process.wait().expect("it was started");
    assert_eq!(answered, 20);

    let storage = RedbStorage::open(&file).expect("what is left can be opened");
    for number in 0..answered {
        let answer = storage.claim(&claim(number)).await.expect("an answer");
        assert!(matches!(answer, Claimed::InProgress { .. }), "key {number}: {answer:?}");
    }
}
