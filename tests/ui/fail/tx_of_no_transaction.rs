use idempotency::idempotent;

struct Database;

#[idempotent(key = "transfer:{id}", tx = db)]
async fn transfer(db: &mut Database, id: u32) -> Result<u32, idempotency::Error> {
    let _ = db;
    Ok(id)
}

fn main() {}
