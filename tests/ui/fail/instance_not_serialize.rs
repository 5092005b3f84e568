use idempotency::{Error, idempotent};

struct Email;

#[idempotent(instance = Email)]
async fn notify(user: u64) -> Result<u64, Error> {
    Ok(user)
}

fn main() {}
