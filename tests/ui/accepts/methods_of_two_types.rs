//! Methods of the same name and arguments in one module do not share a key.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

struct Card;
struct Transfer;

trait Pay {
    async fn pay(&self, id: u64) -> Result<String, Error>;
}

impl Pay for Card {
    #[idempotent]
    async fn pay(&self, id: u64) -> Result<String, Error> {
        Ok(format!("card {id} {}", RUNS.next()))
    }
}

impl Pay for Transfer {
    #[idempotent]
    async fn pay(&self, id: u64) -> Result<String, Error> {
        Ok(format!("transfer {id} {}", RUNS.next()))
    }
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(Card.pay(7).await.unwrap(), "card 7 1");
        assert_eq!(Transfer.pay(7).await.unwrap(), "transfer 7 2");
        assert_eq!(Card.pay(7).await.unwrap(), "card 7 1");
        assert_eq!(Transfer.pay(7).await.unwrap(), "transfer 7 2");
    });
}
