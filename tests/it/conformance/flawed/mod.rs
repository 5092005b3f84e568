//! A storage that is right but for one flaw, to show that the suite finds the flaw.
//!
//! Unlike the memory storage it can come to every harm, so that without a flaw it must pass every case.

mod decide;
mod flaw;
mod harness;
mod storage;

pub(super) use flaw::FLAWS;
pub(crate) use flaw::Flaw;
pub(super) use harness::OnFlawed;
pub(crate) use storage::Flawed;
