use std::net::SocketAddr;

use idempotency::{Error, idempotent};

/// As axum has it. A retry comes from another port, so the address is not hashed without being asked for.
struct ConnectInfo<T>(T);

#[idempotent(key = "payment:{id}")]
async fn pay(ConnectInfo(addr): ConnectInfo<SocketAddr>, id: u64) -> Result<u64, Error> {
    Ok(u64::from(addr.port()) + id)
}

fn main() {}
