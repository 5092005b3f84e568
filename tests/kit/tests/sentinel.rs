//! Sentinels replace a primary that is killed or handed over.

use testkit::{
    redis::{RedisServer, SentinelSetup},
    wait,
};

#[test]
fn a_killed_primary_is_replaced_by_a_replica_with_its_data() {
    let mut setup = SentinelSetup::start();
    assert_eq!(setup.primary_number(), 0);
    assert_eq!(setup.sentinel_urls().len(), 3);
    setup.primary().command(&["SET", "key", "value"]);
    setup.primary().wait_until_replicated();

    assert_eq!(setup.kill_primary(), 0);
    assert_ne!(setup.primary_number(), 0);
    assert_eq!(setup.primary().command(&["GET", "key"]), "value");
    setup.primary().command(&["SET", "key", "after"]);

    setup.server_mut(0).start_again();
    let limit = std::time::Duration::from_secs(60);
    wait::until("the old primary follows the new one", limit, || {
        setup.server(0).role() == "slave" && setup.server(0).command(&["GET", "key"]) == "after"
    });
}

#[test]
fn a_primary_that_handed_over_refuses_writes() {
    let setup = SentinelSetup::start_with(RedisServer::builder().password("se cret"));
    let old = setup.fail_over();
    assert_eq!(old, 0);
    let refused = setup.server(old).try_query::<String>(&["SET", "key", "value"]).unwrap_err();
    assert_eq!(refused.code(), Some("READONLY"));
    assert_eq!(setup.primary().command(&["SET", "key", "value"]), "OK");
    for sentinel in 0..3 {
        let name = setup.master_name();
        let address =
            setup.sentinel(sentinel).command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name]);
        assert_eq!(address, format!("127.0.0.1\n{}", setup.primary().port()));
    }
}
