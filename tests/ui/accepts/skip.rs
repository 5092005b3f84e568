//! `skip` leaves arguments out of the hash, which then need not be `Serialize`.

use idem_ui::{Runs, on_memory};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

struct Pool;

#[idempotent(skip(pool, attempt, a, b))]
async fn place(
    id: u64,
    pool: &Pool,
    attempt: u32,
    (a, b): (Pool, u32),
) -> Result<(u64, u32), Error> {
    let _ = (pool, attempt, a, b);
    Ok((id, RUNS.next()))
}

#[test]
fn accepted() {
    on_memory(async {
        assert_eq!(place(7, &Pool, 1, (Pool, 1)).await.unwrap(), (7, 1));
        assert_eq!(place(7, &Pool, 2, (Pool, 2)).await.unwrap(), (7, 1));
        assert_eq!(place(8, &Pool, 2, (Pool, 2)).await.unwrap(), (8, 2));
    });
}
