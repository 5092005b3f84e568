//! `#[idempotent(tx = …)]` on functions that take a transaction, or a connection inside one.

use idem_runtime::{Error, ErrorKind, Idempotency};
use idempotency::idempotent;
use serde::{Deserialize, Serialize};
use sqlx::{MySql, Postgres, Sqlite, SqliteConnection, Transaction};

use super::stage::{Db, Failed, Stage, deposit};

#[derive(Clone, Serialize)]
struct Request {
    id: u32,
    amount: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    balance: i64,
    note: String,
}

#[idempotent(key = "deposit:{request.id}", tx = tx, with = idem, skip(idem))]
async fn on_postgres(
    idem: &Idempotency,
    tx: &mut Transaction<'_, Postgres>,
    request: Request,
    note: String,
) -> Result<Receipt, Failed> {
    if request.amount == 0 {
        return Err(Failed::Declined);
    }
    let balance = deposit::<Postgres>(tx, request.amount).await?;
    Ok(Receipt { balance, note })
}

#[idempotent(key = "deposit:{request.id}", tx = tx, with = idem, skip(idem, note), wait = "5s")]
async fn on_mysql(
    idem: &Idempotency,
    tx: &mut Transaction<'_, MySql>,
    request: &Request,
    note: &str,
) -> Result<Receipt, Failed> {
    let balance = deposit::<MySql>(tx, request.amount).await?;
    Ok(Receipt { balance, note: note.to_owned() })
}

struct Bank {
    idem: Idempotency,
}

impl Bank {
    #[idempotent(key = "deposit:{request.id}", tx = connection, with = self.idem)]
    async fn deposit(
        &self,
        connection: &mut SqliteConnection,
        request: Request,
    ) -> Result<i64, Failed> {
        let update = "UPDATE accounts SET balance = balance + ? WHERE name = 'alice'";
        sqlx::query(update).bind(request.amount).execute(&mut *connection).await?;
        let balance = "SELECT balance FROM accounts WHERE name = 'alice'";
        Ok(sqlx::query_scalar(balance).fetch_one(connection).await?)
    }
}

/// What a web framework asks of a handler's future.
fn is_send<F: Future + Send>(future: F) -> F {
    future
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_takes_effect_with_its_transaction() {
    let stage = Stage::<Postgres>::new().await;
    let request = |amount| Request { id: 1, amount };
    // Rolled back, as an error is.
    let mut tx = stage.begin().await;
    let failed = is_send(on_postgres(&stage.idem, &mut tx, request(0), String::new())).await;
    assert!(matches!(failed, Err(Failed::Declined)));
    tx.rollback().await.unwrap();
    for _ in 0..2 {
        let mut tx = stage.begin().await;
        let call = on_postgres(&stage.idem, &mut tx, request(100), "for tea".to_owned());
        let receipt = is_send(call).await.unwrap();
        is_send(stage.idem.commit(tx)).await.unwrap();
        assert_eq!(receipt, Receipt { balance: 100, note: "for tea".to_owned() });
    }
    assert_eq!(stage.balance().await, 100);
    // The transaction is no part of the fingerprint; everything else is.
    let mut tx = stage.begin().await;
    let other = on_postgres(&stage.idem, &mut tx, request(100), "for cake".to_owned()).await;
    assert_eq!(other.unwrap_err().ours().kind(), ErrorKind::Mismatch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_waits_for_the_transaction_of_the_first() {
    let stage = Stage::<MySql>::new().await;
    let request = Request { id: 1, amount: 100 };
    let mut first = stage.begin().await;
    on_mysql(&stage.idem, &mut first, &request, "first").await.unwrap();
    let (idem, mut second) = (stage.idem.clone(), stage.begin().await);
    let waiting = crate::stage::begin_waiting(async move {
        let request = Request { id: 1, amount: 100 };
        on_mysql(&idem, &mut second, &request, "second").await
    })
    .await;
    stage.idem.commit(first).await.unwrap();
    let receipt = crate::stage::in_time(waiting).await.unwrap().unwrap();
    assert_eq!(receipt, Receipt { balance: 100, note: "first".to_owned() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_takes_a_connection_inside_a_transaction() {
    let stage = Stage::<Sqlite>::new().await;
    let bank = Bank { idem: stage.idem.clone() };
    for _ in 0..2 {
        let mut tx = stage.begin().await;
        let request = Request { id: 1, amount: 100 };
        assert_eq!(is_send(bank.deposit(&mut tx, request)).await.unwrap(), 100);
        stage.idem.commit(tx).await.unwrap();
    }
    assert_eq!(stage.balance().await, 100);
    // Without a transaction it does not run.
    let mut connection = stage.pool.acquire().await.unwrap();
    let refused = bank.deposit(&mut connection, Request { id: 2, amount: 1 }).await;
    assert_eq!(refused.unwrap_err().ours().kind(), ErrorKind::Configuration);
}

/// The handle may as well be the task's, and the closure's future goes to any thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_a_closure_can_be_spawned() {
    async fn once<DB: Db>() {
        let stage = Stage::<DB>::new().await;
        let (idem, pool) = (stage.idem.clone(), stage.pool.clone());
        let call = async move {
            let mut tx = pool.begin().await?;
            let operation = idem.in_transaction(&mut tx).operation("note").key("1");
            let value = operation.run(async |_| Ok::<_, Error>(7)).await?;
            idem.commit(tx).await?;
            Ok::<i32, Failed>(value)
        };
        assert_eq!(call.await.unwrap(), 7);
    }

    once::<Postgres>().await;
    let stage = Stage::<Sqlite>::new().await;
    let (idem, pool) = (stage.idem.clone(), stage.pool.clone());
    let call = tokio::spawn(async move {
        let mut tx = pool.begin().await?;
        let operation = idem.in_transaction(&mut tx).operation("deposit").key("1");
        let update = "UPDATE accounts SET balance = balance + 1 WHERE name = 'alice'";
        let body = async |tx: &mut SqliteConnection| {
            sqlx::query(update).execute(tx).await?;
            Ok::<_, Failed>(1)
        };
        let value = operation.run(body).await?;
        idem.commit(tx).await?;
        Ok::<i32, Failed>(value)
    });
    assert_eq!(call.await.unwrap().unwrap(), 1);
    assert_eq!(stage.balance().await, 1);
}
