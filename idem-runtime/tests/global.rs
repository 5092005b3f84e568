//! Which handle a call uses. A binary of its own: the global one is set once in a process.

#![expect(clippy::unwrap_used, reason = "in the functions that tests share, as in tests")]

use idem_runtime::storage::MemoryStorage;
use idem_runtime::{ErrorKind, Idempotency, handle, set_global, with};

fn in_namespace(namespace: &str) -> Idempotency {
    Idempotency::builder(MemoryStorage::new()).namespace(namespace).build().unwrap()
}

fn used() -> Result<String, ErrorKind> {
    handle().map(|idem| idem.namespace().to_owned()).map_err(|error| error.kind())
}

#[tokio::test]
async fn the_first_global_handle_stays_and_a_tasks_own_goes_before_it() {
    assert_eq!(used(), Err(ErrorKind::NotConfigured));
    with(in_namespace("task"), async { assert_eq!(used(), Ok("task".to_owned())) }).await;
    assert_eq!(used(), Err(ErrorKind::NotConfigured));

    set_global(in_namespace("first")).unwrap();
    let again = set_global(in_namespace("second")).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyConfigured);
    assert_eq!(used(), Ok("first".to_owned()));

    with(in_namespace("task"), async {
        with(in_namespace("inner"), async { assert_eq!(used(), Ok("inner".to_owned())) }).await;
        assert_eq!(used(), Ok("task".to_owned()));
        // A task of its own does not inherit it.
        let spawned = tokio::spawn(async { used() }).await;
        assert_eq!(spawned.unwrap(), Ok("first".to_owned()));
    })
    .await;
}
