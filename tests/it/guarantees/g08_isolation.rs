//! G8: no tenant reads, blocks or times another's keys by choosing keys, and no operation's values reach another operation.

use std::collections::BTreeSet;

use idem_runtime::key::KeyBuilder;
use idem_runtime::{Error, ErrorKind, Idempotency, Key, Source};
use idempotency::idempotent;

use crate::stage::{Stage, TTL, in_time};

on_every_backend!(
    tenants_with_the_same_key_run_each_for_itself,
    namespaces_with_the_same_key_run_each_for_itself,
    a_running_tenant_blocks_no_other,
    scopes_and_keys_that_look_alike_when_joined_differ,
    operations_never_meet_by_their_values,
    equal_templates_of_two_operations_are_a_mismatch,
);

#[idempotent(key = "job:{id}", with = handle, skip(handle))]
async fn job(handle: &Idempotency, id: &str) -> Result<String, Error> {
    Ok(format!("job {id}"))
}

#[idempotent(key = "job:{queue}:{id}", with = handle, skip(handle))]
async fn queued_job(handle: &Idempotency, queue: &str, id: &str) -> Result<String, Error> {
    Ok(format!("job {id} of {queue}"))
}

#[idempotent(key = "job:refund:{id}", with = handle, skip(handle))]
async fn refund_job(handle: &Idempotency, id: &str) -> Result<String, Error> {
    Ok(format!("refund {id}"))
}

#[idempotent(key = "job:{id}:done", with = handle, skip(handle))]
async fn done_job(handle: &Idempotency, id: &str) -> Result<String, Error> {
    Ok(format!("{id} is done"))
}

#[idempotent(key = "job:{number}", with = handle, skip(handle))]
async fn renamed_job(handle: &Idempotency, number: &str) -> Result<String, Error> {
    Ok(format!("renamed {number}"))
}

async fn tenants_with_the_same_key_run_each_for_itself(stage: Stage) {
    let process = stage.process().await;
    let call = |tenant: Option<&'static str>| {
        let operation = process.charge("k");
        let operation = match tenant {
            Some(tenant) => operation.tenant(tenant),
            None => operation,
        };
        operation.run_with_outcome(stage.body("k", tenant.unwrap_or("nobody")))
    };
    for tenant in [None, Some("a"), Some("b")] {
        let outcome = call(tenant).await.unwrap();
        assert_eq!(outcome.source, Source::Executed { recovered: false });
    }
    for tenant in [None, Some("a"), Some("b")] {
        let outcome = call(tenant).await.unwrap();
        assert_eq!(outcome.value, tenant.unwrap_or("nobody"));
        assert!(outcome.is_replayed());
    }
    assert_eq!(stage.ledger.executions("k"), 3);
}

async fn namespaces_with_the_same_key_run_each_for_itself(stage: Stage) {
    for name in ["one", "two"] {
        let namespace = format!("{}-{name}", stage.namespace);
        for _ in 0..2 {
            let process = stage.process_with(|builder| builder.namespace(&namespace)).await;
            assert_eq!(process.charge("k").run(stage.body("k", name)).await.unwrap(), name);
        }
    }
    assert_eq!(stage.ledger.executions("k"), 2);
}

async fn a_running_tenant_blocks_no_other(stage: Stage) {
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "a", |op| op.tenant("a").lease(TTL)).await;
    for other in [&process, &stage.process().await] {
        let call = other.charge("k").tenant("b").run(stage.body("k", "b"));
        assert_eq!(in_time(call).await.unwrap(), "b");
    }
    assert_eq!(running.finish().await.unwrap().value, "a");
    assert_eq!(stage.ledger.executions("k"), 2);
}

async fn scopes_and_keys_that_look_alike_when_joined_differ(stage: Stage) {
    // With `:`, `%` and the separator in each of the parts, and parts that are each other's beginning.
    let tricky = [
        ("", "a", "b:c"),
        ("", "a:b", "c"),
        ("", "a%3Ab", "c"),
        (":a", "b", "c"),
        (":a:b", "c", "d"),
        (":a", "b:c", "d"),
        (":a", "b", "c:d"),
        ("%3Aa", "b", "c"),
        ("", "A", "b:c"),
        ("", "a", "b::c"),
        ("", "a ", "b:c"),
        ("", "ä", "b:c"),
        ("", "a\u{308}", "b:c"),
    ];
    let mut values = BTreeSet::new();
    for (number, (namespace, tenant, key)) in tricky.into_iter().enumerate() {
        let namespace = format!("{}{namespace}", stage.namespace);
        let process = stage.process_with(|builder| builder.namespace(namespace)).await;
        let call = process.charge(key).tenant(tenant);
        let outcome = call.run_with_outcome(stage.body("k", &number.to_string())).await.unwrap();
        assert!(!outcome.is_replayed(), "{tenant:?} {key:?}");
        values.insert(outcome.value);
    }
    assert_eq!(values.len(), tricky.len());
}

async fn operations_never_meet_by_their_values(stage: Stage) {
    let idem = &stage.process().await.idem;
    let values = [
        job(idem, "5").await,
        job(idem, "x:y").await,
        queued_job(idem, "x", "y").await,
        queued_job(idem, "refund", "5").await,
        refund_job(idem, "5").await,
        job(idem, "refund:5").await,
        job(idem, "5)").await,
        job(idem, "5%29").await,
        queued_job(idem, "5", "done").await,
        done_job(idem, "5").await,
        job(idem, "5:done").await,
        queued_job(idem, "x):(y", "z").await,
        queued_job(idem, "x", "y):(z").await,
    ];
    let values = values.into_iter().map(Result::unwrap).collect::<BTreeSet<_>>();
    assert_eq!(values.len(), 13, "{values:?}");
    // Whole keys, hashes and clients' keys with the texts of those.
    let template = |id: &str| KeyBuilder::new(0).literal("job:").value("id", id)?.finish();
    let text = template("5").unwrap();
    assert_eq!(job(idem, "5").await.unwrap(), "job 5");
    for key in [Key::new(text.as_str()), Key::http(text.as_str()), Key::hash("job", &"5")] {
        let outcome = idem
            .operation("other")
            .key(key)
            .run_with_outcome(stage.body("k", "other"))
            .await
            .unwrap();
        assert_eq!(outcome.source, Source::Executed { recovered: false });
    }
    let error = idem.operation("other").key(template("5")).run(stage.body("k", "other")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Mismatch);
}

/// So that an operation that was renamed refuses the keys of its old name, and does not run again.
async fn equal_templates_of_two_operations_are_a_mismatch(stage: Stage) {
    let idem = &stage.process().await.idem;
    assert_eq!(job(idem, "7").await.unwrap(), "job 7");
    let error = renamed_job(&stage.process().await.idem, "7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
}
