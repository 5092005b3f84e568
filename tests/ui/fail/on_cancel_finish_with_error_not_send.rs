use std::fmt;
use std::rc::Rc;

use idempotency::idempotent;

struct Refusal(Rc<str>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<idempotency::Error> for Refusal {
    fn from(error: idempotency::Error) -> Self {
        Self(error.to_string().into())
    }
}

#[idempotent(key = "charge:{id}", on_cancel = "finish")]
async fn charge(id: u64) -> Result<u64, Refusal> {
    Ok(id)
}

fn main() {}
