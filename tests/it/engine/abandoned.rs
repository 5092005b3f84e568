//! What is logged and told of a body that does not come to its end.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use idem_runtime::hooks::AbandonReason;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, Operation};
use parking_lot::Mutex;

use crate::seen::Seen;
use crate::stage::{Process, Stage};

/// The one line at WARN that is logged of a call whose body has begun when it is dropped.
async fn line_of(process: &Process, settings: impl FnOnce(Operation) -> Operation) -> String {
    let seen = Seen::default();
    {
        let _logging = seen.log();
        let call = settings(process.charge("k-4242"));
        let mut call = Box::pin(call.run(pending::<Result<String, Error>>()));
        for _ in 0..5 {
            assert!(futures_util::poll!(&mut call).is_pending());
            tokio::task::yield_now().await;
        }
    }
    one_warning(&seen)
}

fn one_warning(seen: &Seen) -> String {
    let all = seen.all();
    // That a record is parked, whoever parks it, has a line of its own.
    let is_own = |line: &&str| line.contains(" WARN ") && !line.contains("an operation is parked");
    let warnings: Vec<_> = all.lines().filter(is_own).collect();
    let [line] = warnings[..] else { panic!("{all}") };
    assert!(line.contains("operation=charge") && line.contains("key_hash="), "{line}");
    assert!(!all.contains("4242"), "{all}");
    line.to_owned()
}

/// On one thread, whose log it is.
#[tokio::test]
async fn a_dropped_body_is_logged_with_what_becomes_of_its_key_and_what_to_do() {
    let stage = Stage::on_memory();
    let process = stage.process().await;
    let released = line_of(&process, |op| op).await;
    assert!(released.contains("its key is released"), "{released}");
    assert!(released.contains(r#"on_cancel = "finish""#), "{released}");
    process.faults.next(Verb::Claim, Fault::Fail(StorageErrorKind::Full));
    let unrecorded = line_of(&process, Operation::fail_open).await;
    assert!(unrecorded.contains("nothing is recorded"), "{unrecorded}");
    let parked = line_of(&process, |op| op.on_crash(CrashPolicy::Park)).await;
    assert!(parked.contains("its key is parked"), "{parked}");
}

#[tokio::test]
async fn a_panic_is_logged_with_what_becomes_of_its_key() {
    let process = Stage::on_memory().process().await;
    let seen = Seen::default();
    let logging = seen.log();
    let call = process.charge("k-4242");
    let call = call.run::<String, Error, _>(async { panic!("on purpose") });
    AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
    drop(logging);
    let line = one_warning(&seen);
    assert!(line.contains("panicked: its key is released"), "{line}");
}

#[tokio::test]
async fn the_hook_is_told_operation_key_tenant_and_reason() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let process = Stage::on_memory()
        .process_with(|builder| {
            let told = Arc::clone(&told);
            builder.on_abandoned(move |call| {
                let tenant = call.tenant.map(ToOwned::to_owned);
                let names = (call.operation.to_owned(), call.key.to_owned(), tenant);
                told.lock().push((names, call.reason));
            })
        })
        .await;
    let mut call =
        Box::pin(process.charge("k").tenant("t").run(pending::<Result<String, Error>>()));
    assert!(futures_util::poll!(&mut call).is_pending());
    tokio::task::yield_now().await;
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    let names = ("charge".to_owned(), "k".to_owned(), Some("t".to_owned()));
    assert_eq!(*told.lock(), [(names, AbandonReason::Cancelled)]);
}
