//! `on_cancel = "finish"`: the body runs to its end without its caller; otherwise it ends with it.

use std::sync::Arc;
use std::time::Duration;

use idem_ui::{Runs, on_memory};
use idempotency::{Error, Idempotency, idempotent};

static RUNS: Runs = Runs::new();

struct Shop {
    idempotency: Idempotency,
    region: &'static str,
}

async fn takes_a_while<T>(value: T) -> Result<T, Error> {
    tokio::time::sleep(Duration::from_millis(600)).await;
    Ok(value)
}

#[idempotent(key = "finished:{id}", on_cancel = "finish", retry_if = |error| error.is_retryable())]
async fn finished(id: u64, (note, _): (String, u8)) -> Result<u32, Error> {
    let _ = (id, note);
    let run = RUNS.next();
    // A call inside of it finds the handle of `with`.
    inner(id).await?;
    takes_a_while(run).await
}

#[idempotent(key = "inner:{id}")]
async fn inner(id: u64) -> Result<u64, Error> {
    takes_a_while(id).await
}

#[idempotent(key = "cancelled:{id}", on_cancel = "crash")]
async fn cancelled(id: u64, note: &str) -> Result<u32, Error> {
    let _ = (id, note);
    let run = RUNS.next();
    takes_a_while(run).await
}

impl Shop {
    #[idempotent(key = "shop:{self.region}:{id}", with = self.idempotency, on_cancel = "finish")]
    async fn ship(self: Arc<Self>, id: u64, region: &'static str) -> Result<u32, Error> {
        assert_eq!((self.region, region), ("eu", "eu"));
        let _ = id;
        let run = RUNS.next();
        takes_a_while(run).await
    }

    #[idempotent(key = "boxed:{id}", on_cancel = "finish")]
    fn boxed(id: u64) -> futures::BoxFuture<Result<u32, Error>> {
        Box::pin(async move {
            let _ = id;
            let run = RUNS.next();
            takes_a_while(run).await
        })
    }
}

mod futures {
    pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
}

#[idempotent(key = "generic:{id}", on_cancel = "finish", instance = "any sink", skip(sink))]
async fn generic<F: FnMut(u32) + Send + 'static>(id: u64, mut sink: F) -> Result<u32, Error> {
    let _ = id;
    let run = RUNS.next();
    sink(run);
    takes_a_while(run).await
}

/// Drops `call` when its body, the `run`th of all, has begun.
async fn hangs_up<F: Future<Output: std::fmt::Debug>>(call: F, run: u32) {
    let begun = async {
        while RUNS.count() < run {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        answer = call => panic!("run {run} outlived its caller: {answer:?}"),
        () = begun => {}
    }
}

#[test]
fn accepted() {
    on_memory(async {
        let idem = idempotency::handle().unwrap();
        let note = || (String::from("note"), 1);
        hangs_up(finished(7, note()), 1).await;
        idem.drain().await;
        assert_eq!(finished(7, note()).await.unwrap(), 1);

        hangs_up(cancelled(7, "note"), 2).await;
        idem.drain().await;
        assert_eq!(cancelled(7, "note").await.unwrap(), 3);

        let shop = Arc::new(Shop { idempotency: idem.clone(), region: "eu" });
        hangs_up(Arc::clone(&shop).ship(7, "eu"), 4).await;
        idem.drain().await;
        assert_eq!(shop.ship(7, "eu").await.unwrap(), 4);

        hangs_up(Shop::boxed(7), 5).await;
        idem.drain().await;
        assert_eq!(Shop::boxed(7).await.unwrap(), 5);

        hangs_up(generic(7, |_| {}), 6).await;
        idem.drain().await;
        assert_eq!(generic(7, |_| {}).await.unwrap(), 6);
    });
    assert_eq!(RUNS.count(), 6);
}
