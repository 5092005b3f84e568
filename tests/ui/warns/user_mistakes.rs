//! What the compiler says about a function without the attribute, it says about it with the attribute.

#![deny(unused)]

use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}", skip(skipped))]
async fn place(id: u64, skipped: u32, (a, b): (u32, u32)) -> Result<u32, Error> {
    let never_read = id;
    let mut never_changed = a;
    std::fs::read("somewhere");
    if id == 0 {
        return Ok(a);
        never_reached();
    }
    Ok(never_changed)
}

fn never_reached() {}

#[idempotent]
async fn never_called() -> Result<(), Error> {
    Ok(())
}

fn main() {
    drop(place(1, 2, (3, 4)));
}
