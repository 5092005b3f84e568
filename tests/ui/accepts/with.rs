//! `with` gives the handle: of a field, an argument, a function; without one and without a global, the call is refused.

use std::sync::Arc;

use idem_ui::Runs;
use idempotency::{Error, ErrorKind, Idempotency, idempotent};

static RUNS: Runs = Runs::new();

struct Shop {
    idempotency: Idempotency,
}

impl Shop {
    #[idempotent(key = "order:{id}", with = self.idempotency, name = "place", instance = "shop")]
    async fn place(&self, id: u64) -> Result<u32, Error> {
        let _ = id;
        Ok(RUNS.next())
    }

    fn handle(&self) -> &Idempotency {
        &self.idempotency
    }

    #[idempotent(key = "order:{id}", with = self.handle(), name = "place", instance = "shop")]
    fn deferred(&self, id: u64) -> impl Future<Output = Result<u32, Error>> {
        async move {
            let _ = id;
            Ok(RUNS.next())
        }
    }
}

#[idempotent(key = "order:{id}", with = handle, skip(handle), name = "place", instance = "shop")]
async fn free(id: u64, handle: Arc<Idempotency>) -> Result<u32, Error> {
    let _ = (id, handle);
    Ok(RUNS.next())
}

#[idempotent(key = "order:{id}")]
async fn without(id: u64) -> Result<u32, Error> {
    let _ = id;
    Ok(RUNS.next())
}

#[tokio::test]
async fn accepted() {
    let shop = Shop { idempotency: Idempotency::memory() };
    assert_eq!(shop.place(7).await.unwrap(), 1);
    assert_eq!(shop.place(7).await.unwrap(), 1);
    assert_eq!(shop.deferred(7).await.unwrap(), 1);
    assert_eq!(free(7, Arc::new(shop.idempotency)).await.unwrap(), 1);
    assert_eq!(without(7).await.unwrap_err().kind(), ErrorKind::NotConfigured);
    assert_eq!(RUNS.count(), 1);
}
