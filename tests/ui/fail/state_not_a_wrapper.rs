use idempotency::{Error, idempotent};

/// Called like the state that handlers share, but with more in it than it derefs to.
struct State {
    step: u64,
}

#[idempotent(key = "order:{id}")]
async fn advance(id: u64, state: State) -> Result<u64, Error> {
    Ok(id + state.step)
}

fn main() {}
