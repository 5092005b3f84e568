//! What the ledger counts, within a process and across processes.

use std::time::Duration;

use testkit::{
    ledger::{Ledger, What},
    process::{Process, command},
};

/// A ledger with nothing in it, and the folder that goes when it is dropped.
fn empty() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(dir.path());
    (dir, ledger)
}

#[test]
fn executions_are_counted_by_key() {
    let (_dir, ledger) = empty();
    ledger.record("a", "");
    ledger.start("a", "").finish("");
    drop(ledger.start("b", ""));

    assert_eq!(ledger.executions("a"), 2);
    assert_eq!(ledger.executions("b"), 1);
    assert_eq!(ledger.executions("c"), 0);
    assert_eq!(ledger.counts().into_iter().collect::<Vec<_>>(), [("a".into(), 2), ("b".into(), 1)]);
}

#[test]
fn keys_and_notes_come_back_as_they_were_written() {
    let (_dir, ledger) = empty();
    let odd = "tab\t feed\n return\r \\ 'single' \"double\" {} \u{0} ü 🦀";
    ledger.record(odd, odd);
    ledger.start("", "begun").finish("done");

    let entries = ledger.entries();
    assert_eq!((entries[0].key.as_str(), entries[0].note.as_str()), (odd, odd));
    let rest: Vec<_> =
        entries[1..].iter().map(|e| (e.what, e.key.as_str(), e.note.as_str())).collect();
    assert_eq!(rest, [(What::Start, "", "begun"), (What::Finish, "", "done")]);
    assert!(entries.iter().all(|entry| entry.pid == std::process::id()));
}

#[test]
fn runs_that_follow_each_other_do_not_overlap() {
    let (_dir, ledger) = empty();
    for _ in 0..3 {
        ledger.start("key", "").finish("");
    }
    drop(ledger.start("key", ""));
    ledger.record("key", "");
    assert_eq!(ledger.max_concurrent("key"), 1);
}

#[test]
fn runs_at_the_same_time_overlap_for_their_key_only() {
    let (_dir, ledger) = empty();
    let first = ledger.start("key", "");
    let second = ledger.start("key", "");
    let other = ledger.start("other", "");
    first.finish("");
    let third = ledger.start("key", "");
    drop((second, third, other));

    assert_eq!(ledger.max_concurrent("key"), 2);
    assert_eq!(ledger.max_concurrent("other"), 1);
    assert_eq!(ledger.max_concurrent("none"), 0);
}

#[test]
fn an_instant_execution_overlaps_what_is_under_way() {
    let (_dir, ledger) = empty();
    let run = ledger.start("key", "");
    ledger.record("key", "");
    run.finish("");
    assert_eq!(ledger.max_concurrent("key"), 2);
}

#[test]
fn a_run_goes_on_until_its_process_is_said_to_have_ended() {
    let (_dir, ledger) = empty();
    std::mem::forget(ledger.start("killed", ""));
    std::mem::forget(ledger.start("unfinished", ""));
    ledger.start("unfinished", "").finish("");
    assert_eq!(ledger.max_concurrent("unfinished"), 2);

    ledger.process_ended(std::process::id());
    ledger.start("killed", "").finish("");
    assert_eq!(ledger.max_concurrent("killed"), 1);
    assert_eq!(ledger.executions("killed"), 2);
}

#[test]
fn every_line_of_every_process_is_whole() {
    let (_dir, ledger) = empty();
    let key = "k".repeat(300);
    let mut writers: Vec<_> = (0..8)
        .map(|_| {
            let mut writer = command(env!("CARGO_BIN_EXE_testkit"));
            writer.arg("record").arg(ledger.path()).args([key.as_str(), "500"]);
            Process::spawn(writer)
        })
        .collect();
    // Reading while others write never sees half a line: that would panic.
    while writers.iter_mut().any(|writer| writer.try_wait().is_none()) {
        ledger.entries();
    }
    for writer in &mut writers {
        assert!(writer.wait(Duration::from_secs(1)).success());
    }
    assert_eq!(ledger.executions(&key), 8 * 500);
    assert_eq!(ledger.entries().len(), 2 * 8 * 500);
    assert!((1..=8).contains(&ledger.max_concurrent(&key)));
}

#[test]
#[should_panic(expected = "this is no line of a ledger")]
fn a_foreign_line_is_refused() {
    let (_dir, ledger) = empty();
    std::fs::write(ledger.path(), "1\t2\tthree\tonce\tkey\tnote\n").unwrap();
    ledger.entries();
}
