use idempotency::{Error, idempotent};

struct Step(u64);

/// Called like the state that handlers share.
struct State<T>(T);

#[idempotent(key = "order:{id}")]
async fn advance(id: u64, State(step): State<Step>) -> Result<u64, Error> {
    Ok(id + step.0)
}

fn main() {}
