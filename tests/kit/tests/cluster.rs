//! A cluster redirects, moves slots with their keys, and replaces a master.

use testkit::redis::{ClusterSetup, RedisServer};

#[test]
fn every_slot_is_served_and_foreign_keys_are_redirected() {
    let cluster = ClusterSetup::start();
    assert_eq!(cluster.urls().len(), 3);
    let owners: Vec<_> = [0, 5460, 5461, 10921, 10922, 10923, 16383]
        .iter()
        .map(|&slot| cluster.owner_of(slot))
        .collect();
    assert_eq!((owners[0], owners[6]), (0, 2));
    assert!(owners.is_sorted());

    let slot = cluster.slot_of("key");
    assert_eq!(slot, 12539);
    assert_eq!(cluster.node(2).command(&["SET", "key", "value"]), "OK");
    let redirected = cluster.node(0).try_query::<String>(&["GET", "key"]).unwrap_err();
    assert_eq!(redirected.code(), Some("MOVED"));
}

#[test]
fn a_slot_moves_with_its_keys() {
    let cluster = ClusterSetup::start();
    let slot = cluster.slot_of("{tag}");
    let from = cluster.owner_of(slot);
    let to = (from + 1) % 3;
    let keys: Vec<_> = (0..250).map(|number| format!("{{tag}}{number}")).collect();
    for key in &keys {
        cluster.node(from).command(&["SET", key, key]);
    }

    let slot_move = cluster.begin_move(slot, from, to);
    assert_eq!(cluster.node(from).command(&["GET", &keys[0]]), keys[0]);
    let asked = cluster.node(from).try_query::<String>(&["GET", "{tag}missing"]).unwrap_err();
    assert_eq!(asked.code(), Some("ASK"));
    slot_move.move_keys();
    assert_eq!(
        cluster.node(from).try_query::<String>(&["GET", &keys[0]]).unwrap_err().code(),
        Some("ASK")
    );
    slot_move.finish();

    assert_eq!(cluster.owner_of(slot), to);
    assert!(keys.iter().all(|key| cluster.node(to).command(&["GET", key]) == *key));
    for other in [from, (from + 2) % 3] {
        let moved = cluster.node(other).try_query::<String>(&["GET", &keys[0]]).unwrap_err();
        assert_eq!(moved.code(), Some("MOVED"));
    }
    cluster.move_slot(slot, to, from);
    assert_eq!(cluster.node(from).command(&["GET", &keys[0]]), keys[0]);
}

#[test]
fn a_replica_replaces_a_killed_master() {
    let options = RedisServer::builder().password("secret");
    let mut cluster = ClusterSetup::start_with(options, 3, 1);
    assert_eq!(cluster.node_count(), 6);
    let slot = cluster.slot_of("key");
    let master = cluster.owner_of(slot);
    cluster.node(master).command(&["SET", "key", "value"]);
    cluster.node(master).wait_until_replicated();

    assert_eq!(cluster.fail_over(slot), master);
    let new = cluster.owner_of(slot);
    assert_eq!(new, master + 3);
    assert_eq!(cluster.node(new).command(&["GET", "key"]), "value");
    let other = cluster.node((master + 1) % 3);
    assert_eq!(other.try_query::<String>(&["GET", "key"]).unwrap_err().code(), Some("MOVED"));
}

#[test]
#[should_panic(expected = "does not serve slot 0")]
fn only_the_owner_of_a_slot_gives_it_away() {
    ClusterSetup::start().move_slot(0, 1, 2);
}
