use idempotency::{Error, idempotent};

#[derive(Debug)]
struct OrderError;

impl From<Error> for OrderError {
    fn from(_: Error) -> Self {
        Self
    }
}

#[idempotent(key = "order:{id}", on_error = "replay")]
async fn place(id: u64) -> Result<u64, OrderError> {
    Ok(id)
}

fn main() {}
