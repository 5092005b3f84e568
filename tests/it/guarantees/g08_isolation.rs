//! G8: no tenant reads, blocks or times another's keys by choosing keys.

use std::collections::BTreeSet;

use idem_runtime::Source;

use crate::stage::{Stage, TTL, in_time};

on_every_backend!(
    tenants_with_the_same_key_run_each_for_itself,
    namespaces_with_the_same_key_run_each_for_itself,
    a_running_tenant_blocks_no_other,
    scopes_and_keys_that_look_alike_when_joined_differ,
);

async fn tenants_with_the_same_key_run_each_for_itself(stage: Stage) {
    let process = stage.process().await;
    let call = |tenant: Option<&'static str>| {
        let operation = process.charge("k");
        let operation = match tenant {
            Some(tenant) => operation.tenant(tenant),
            None => operation,
        };
        operation.run(stage.body("k", tenant.unwrap_or("nobody")))
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
            assert_eq!(process.charge("k").call(stage.body("k", name)).await.unwrap(), name);
        }
    }
    assert_eq!(stage.ledger.executions("k"), 2);
}

async fn a_running_tenant_blocks_no_other(stage: Stage) {
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "a", |op| op.tenant("a").lease(TTL)).await;
    for other in [&process, &stage.process().await] {
        let call = other.charge("k").tenant("b").call(stage.body("k", "b"));
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
        let outcome = call.run(stage.body("k", &number.to_string())).await.unwrap();
        assert!(!outcome.is_replayed(), "{tenant:?} {key:?}");
        values.insert(outcome.value);
    }
    assert_eq!(values.len(), tricky.len());
}
