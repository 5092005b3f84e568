//! `#[async_trait]` above, in an impl, with a default method, for a trait object.

use std::rc::Rc;

use async_trait::async_trait;
use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

#[derive(Serialize)]
struct Order {
    id: u64,
}

#[async_trait]
trait Shop: Send + Sync {
    async fn place(&self, order: &Order, note: String) -> Result<String, Error>;

    #[idempotent(key = "cancel:{id}")]
    async fn cancel(&self, id: u64) -> Result<u32, Error> {
        let _ = id;
        Ok(RUNS.next())
    }
}

struct Europe {
    name: String,
}

#[async_trait]
impl Shop for Europe {
    #[idempotent(key = "place:{self.name}:{order.id}", skip(note))]
    async fn place(&self, order: &Order, mut note: String) -> Result<String, Error> {
        if order.id == 0 {
            return Ok(String::new());
        }
        note.push_str(&self.name);
        Ok(format!("{note} {} {}", order.id, RUNS.next()))
    }
}

#[async_trait(?Send)]
trait Local {
    async fn touch(&self) -> Result<u32, Error>;
}

#[async_trait(?Send)]
impl Local for Rc<u32> {
    #[idempotent]
    async fn touch(&self) -> Result<u32, Error> {
        let held = Rc::clone(self);
        tokio::task::yield_now().await;
        Ok(*held + RUNS.next())
    }
}

#[test]
fn accepted() {
    let shop: Box<dyn Shop> = Box::new(Europe { name: "eu".into() });
    on_memory(async {
        let order = Order { id: 7 };
        assert_eq!(shop.place(&order, "a ".into()).await.unwrap(), "a eu 7 1");
        assert_eq!(shop.place(&order, "b ".into()).await.unwrap(), "a eu 7 1");
        assert_eq!(shop.cancel(7).await.unwrap(), 2);
        assert_eq!(shop.cancel(7).await.unwrap(), 2);
        assert_eq!(Rc::new(10).touch().await.unwrap(), 13);
        assert_eq!(Rc::new(10).touch().await.unwrap(), 13);
    });
    assert_eq!(RUNS.count(), 3);
}
