use idempotency::{Error, idempotent};

#[tokio::main]
#[idempotent(key = "main")]
async fn main() -> Result<(), Error> {
    Ok(())
}
