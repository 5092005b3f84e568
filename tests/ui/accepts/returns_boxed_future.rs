//! Functions that return boxed futures: spelt out, by an alias, with `?` in the async block.

use std::pin::Pin;

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Placed = Pin<Box<dyn Future<Output = Result<u32, Error>> + Send>>;

struct Shop {
    region: String,
}

impl Shop {
    #[idempotent(key = "place:{self.region}:{id}")]
    fn place<'a>(
        &'a self,
        id: u64,
        note: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<String, Error>> + Send + 'a>> {
        Box::pin(async move { Ok(format!("{} {id} {note} {}", self.region, RUNS.next())) })
    }

    #[idempotent(key = "cancel:{self.region}:{id}")]
    fn cancel(&self, id: u64) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async move {
            let placed = self.place(id, "cancelled").await?;
            Ok(format!("{placed} {}", RUNS.next()))
        })
    }
}

#[idempotent(key = "placed:{id}")]
fn placed(id: u64) -> Placed {
    let _ = id;
    Box::pin(async { Ok(RUNS.next()) })
}

#[test]
fn accepted() {
    let shop = Shop { region: "eu".into() };
    on_memory(async {
        assert_eq!(shop.place(7, "a").await.unwrap(), "eu 7 a 1");
        assert_eq!(shop.place(7, "a").await.unwrap(), "eu 7 a 1");
        assert_eq!(shop.cancel(8).await.unwrap(), "eu 8 cancelled 2 3");
        assert_eq!(shop.cancel(8).await.unwrap(), "eu 8 cancelled 2 3");
        assert_eq!(placed(7).await.unwrap(), 4);
        assert_eq!(placed(7).await.unwrap(), 4);
    });
    assert_eq!(RUNS.count(), 4);
}
