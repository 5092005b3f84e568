//! Aliases of `Result`, `Result<(), E>`, `anyhow::Result`, `std::io::Result`-like paths.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

mod shop {
    pub type Result<T> = std::result::Result<T, idempotency::Error>;
    pub type Placed = Result<u32>;
    pub type Swapped<E, T> = std::result::Result<T, E>;
}

#[idempotent(key = "alias:{id}")]
async fn alias(id: u64) -> shop::Result<u32> {
    let _ = id;
    Ok(RUNS.next())
}

#[idempotent(key = "without-arguments:{id}")]
async fn without_arguments(id: u64) -> shop::Placed {
    let _ = id;
    Ok(RUNS.next())
}

#[idempotent(key = "swapped:{id}")]
async fn swapped(id: u64) -> shop::Swapped<Error, u32> {
    let _ = id;
    Ok(RUNS.next())
}

#[idempotent(key = "anyhow:{id}")]
async fn any_error(id: u64) -> anyhow::Result<u32> {
    anyhow::ensure!(id > 0, "zero");
    Ok(RUNS.next())
}

#[idempotent(key = "unit:{id}")]
async fn unit(id: u64) -> Result<(), Error> {
    let _ = id;
    RUNS.next();
    Ok(())
}

#[test]
fn accepted() {
    on_memory(async {
        for _ in 0..2 {
            assert_eq!(alias(7).await.unwrap(), 1);
            assert_eq!(without_arguments(7).await.unwrap(), 2);
            assert_eq!(swapped(7).await.unwrap(), 3);
            assert_eq!(any_error(7).await.unwrap(), 4);
            unit(7).await.unwrap();
            assert_eq!(RUNS.count(), 5);
        }
        assert_eq!(any_error(0).await.unwrap_err().to_string(), "zero");
        let again = any_error(0).await.unwrap_err();
        assert_eq!(again.downcast::<Error>().unwrap().failure(), Some("zero"));
    });
}
