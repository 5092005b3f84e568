use idempotency::sqlx::{self, PgPool};
use idempotency::{Error, Idempotency};

struct Failed;

impl From<sqlx::Error> for Failed {
    fn from(_: sqlx::Error) -> Self {
        Self
    }
}

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self
    }
}

async fn pay(idem: &Idempotency, pool: &PgPool) -> Result<(), Failed> {
    idem.transaction(pool, async |_| Ok::<(), Failed>(())).await
}

fn main() {}
