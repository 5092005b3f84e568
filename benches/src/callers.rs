//! Those who make the calls, on any storage.

use idempotency::Idempotency;

use crate::load::Turns;
use crate::payload::{Pool, charge, charge_by_handle};

/// One caller, which takes its turns until there are no more.
pub(crate) trait Caller {
    fn run(&self, pool: Pool, turns: Turns) -> impl Future<Output = Turns> + Send + 'static;
}

/// `#[idempotent]`.
pub(crate) struct Attribute(pub(crate) Idempotency);

impl Caller for Attribute {
    fn run(&self, pool: Pool, mut turns: Turns) -> impl Future<Output = Turns> + Send + 'static {
        let idem = self.0.clone();
        async move {
            while let Some(number) = turns.next() {
                turns.check(charge(&idem, pool.get(number)).await);
            }
            turns
        }
    }
}

/// The same through the handle.
pub(crate) struct Handle(pub(crate) Idempotency);

impl Caller for Handle {
    fn run(&self, pool: Pool, mut turns: Turns) -> impl Future<Output = Turns> + Send + 'static {
        let idem = self.0.clone();
        async move {
            while let Some(number) = turns.next() {
                turns.check(charge_by_handle(&idem, pool.get(number)).await);
            }
            turns
        }
    }
}
