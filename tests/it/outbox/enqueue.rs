//! Enqueuing: with the transaction or not at all, and what is refused.

use idempotency::outbox::{Outbox, OutboxErrorKind};
use serde_json::json;

use super::recorder::Recorder;
use super::stage::{Db, Running, Stage, begin, inside, on_every_database, quick};

on_every_database!(
    what_was_committed_is_published_and_what_was_rolled_back_is_not,
    a_savepoint_takes_its_events_along,
    events_arrive_as_they_were_enqueued,
    outside_of_a_transaction_nothing_is_enqueued,
    what_cannot_be_an_event_is_refused_and_the_transaction_goes_on,
    a_pool_of_one_connection_is_enough,
    a_relay_that_is_woken_does_not_wait_for_its_poll,
);

async fn what_was_committed_is_published_and_what_was_rolled_back_is_not<DB: Db>(stage: Stage<DB>) {
    let broker = Recorder::new();
    let relay = Running::start(quick(stage.outbox.relay(broker.clone())));
    let mut expected = Vec::new();
    for number in 0..20 {
        let mut tx = stage.pool.begin().await.unwrap();
        let id = stage.outbox.enqueue(inside(&mut tx), "orders", "42", &number).await.unwrap();
        match number % 4 {
            0 => drop(tx),
            1 => tx.rollback().await.unwrap(),
            _ => {
                tx.commit().await.unwrap();
                expected.push(id);
            }
        }
    }
    broker.until(expected.len()).await;
    // The last one is committed after all that were not, so by now they would have come.
    expected.push(stage.enqueue("orders", "42", 20).await);
    broker.until(expected.len()).await;
    relay.stop().await;
    let taken: Vec<_> = broker.taken().iter().map(|event| event.id).collect();
    assert_eq!(taken, expected);
    assert_eq!(stage.rows().await, 0);
}

async fn a_savepoint_takes_its_events_along<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.pool.begin().await.unwrap();
    stage.outbox.enqueue(inside(&mut tx), "orders", "42", &0).await.unwrap();
    let mut savepoint = begin::<DB>(inside(&mut tx)).await;
    stage.outbox.enqueue(inside(&mut savepoint), "orders", "42", &1).await.unwrap();
    savepoint.rollback().await.unwrap();
    let mut savepoint = begin::<DB>(inside(&mut tx)).await;
    stage.outbox.enqueue(inside(&mut savepoint), "orders", "42", &2).await.unwrap();
    savepoint.commit().await.unwrap();
    tx.commit().await.unwrap();

    let broker = Recorder::new();
    let relay = Running::start(quick(stage.outbox.relay(broker.clone())));
    broker.until(2).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), [0, 2]);
}

async fn events_arrive_as_they_were_enqueued<DB: Db>(stage: Stage<DB>) {
    let text = "a 'quoted\" \\ text, \u{1F980} and Łukasz\n";
    let event = json!({ "text": text, "cents": 9_007_199_254_740_993_u64 });
    let bytes: Vec<u8> = (0..=255).chain([0, 0]).collect();
    let largest = vec![7; 512 * 1024];
    let topic = "\u{1F980}".repeat(63);
    let key = "\u{1F980} ".repeat(204);

    let now = stage.now().await;
    let mut tx = stage.pool.begin().await.unwrap();
    let connection = inside(&mut tx);
    let ids = [
        stage.outbox.enqueue(connection, &topic, &key, &event).await.unwrap(),
        stage.outbox.enqueue_bytes(connection, "raw", "a", bytes.clone()).await.unwrap(),
        stage.outbox.enqueue_bytes(connection, "raw", "A", Vec::new()).await.unwrap(),
        stage.outbox.enqueue_bytes(connection, "raw", "a ", largest.clone()).await.unwrap(),
    ];
    tx.commit().await.unwrap();

    let broker = Recorder::new();
    let relay = Running::start(quick(stage.outbox.relay(broker.clone())));
    broker.until(4).await;
    relay.stop().await;
    let taken = broker.taken();
    let taken = ids.map(|id| taken.iter().find(|event| event.id == id).unwrap().clone());
    assert_eq!((taken[0].topic.as_str(), taken[0].key.as_str()), (topic.as_str(), key.as_str()));
    assert_eq!(taken[0].json::<serde_json::Value>().unwrap(), event);
    assert_eq!(taken[1].payload, bytes);
    assert_eq!((taken[2].key.as_str(), taken[2].payload.len()), ("A", 0));
    assert_eq!((taken[3].key.as_str(), taken[3].payload == largest), ("a ", true));
    let later = stage.now().await;
    assert!(taken.iter().all(|event| (now..=later).contains(&event.enqueued_at.as_millis())));
}

async fn outside_of_a_transaction_nothing_is_enqueued<DB: Db>(stage: Stage<DB>) {
    let mut connection = stage.pool.acquire().await.unwrap();
    let connection: &mut DB::Connection = &mut connection;
    let refused = stage.outbox.enqueue(connection, "orders", "42", &1).await.unwrap_err();
    assert_eq!(refused.kind(), OutboxErrorKind::NotInTransaction, "{refused}");
    assert!(!refused.is_retryable());
    // The same connection inside a transaction is as good as the transaction.
    let mut tx = begin::<DB>(connection).await;
    stage.outbox.enqueue(inside(&mut tx), "orders", "42", &2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stage.rows().await, 1);
}

async fn what_cannot_be_an_event_is_refused_and_the_transaction_goes_on<DB: Db>(stage: Stage<DB>) {
    use OutboxErrorKind::{Invalid, Serialization, TooLarge};

    let mut tx = stage.pool.begin().await.unwrap();
    let connection = inside(&mut tx);
    let long_topic = "t".repeat(256);
    let long_key = "\u{1F980}".repeat(257);
    for (topic, key) in [
        ("", "42"),
        ("orders", ""),
        ("or\0ders", "42"),
        ("orders", "4\0"),
        ("orders", "4\n2"),
        (&long_topic, "42"),
        ("orders", &long_key),
    ] {
        let refused = stage.outbox.enqueue(connection, topic, key, &1).await.unwrap_err();
        assert_eq!(refused.kind(), Invalid, "{topic:?} {key:?}");
        assert!(!refused.to_string().contains("42"), "{refused}");
    }
    let large = vec![0; 512 * 1024 + 1];
    let refused = stage.outbox.enqueue_bytes(connection, "orders", "42", large).await.unwrap_err();
    assert_eq!(refused.kind(), TooLarge, "{refused}");
    let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    let refused = stage.outbox.enqueue(connection, "orders", "42", &no_json).await.unwrap_err();
    assert_eq!(refused.kind(), Serialization, "{refused}");
    for no_number in [f64::NAN, f64::INFINITY] {
        let refused = stage.outbox.enqueue(connection, "orders", "42", &[no_number]).await;
        assert_eq!(refused.unwrap_err().kind(), Serialization);
    }

    stage.outbox.enqueue(connection, "orders", "42", &1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stage.rows().await, 1);
}

async fn a_pool_of_one_connection_is_enough<DB: Db>(stage: Stage<DB>) {
    let pool = sqlx::pool::PoolOptions::<DB>::new()
        .max_connections(1)
        .acquire_timeout(crate::stage::PATIENCE)
        .connect(&stage.url)
        .await
        .unwrap();
    let outbox = Outbox::new(pool.clone());
    let broker = Recorder::new();
    let relay = Running::start(quick(outbox.relay(broker.clone())));
    for number in 0..10 {
        let mut tx = pool.begin().await.unwrap();
        outbox.enqueue(inside(&mut tx), "orders", "42", &number).await.unwrap();
        tx.commit().await.unwrap();
    }
    broker.until(10).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), (0..10).collect::<Vec<_>>());
}

async fn a_relay_that_is_woken_does_not_wait_for_its_poll<DB: Db>(stage: Stage<DB>) {
    let broker = Recorder::new();
    let hour = std::time::Duration::from_secs(3600);
    let relay = Running::start(stage.outbox.relay(broker.clone()).poll(hour));
    stage.enqueue("orders", "1", 0).await;
    // It may be before its first look, which finds the first event, or after it. After that it sleeps.
    stage.outbox.wake();
    broker.until(1).await;
    stage.until_rows(0).await;
    stage.enqueue("orders", "1", 1).await;
    let woken = async {
        while broker.taken().len() < 2 {
            stage.outbox.wake();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    crate::stage::in_time(woken).await;
    relay.stop().await;
}
