//! A storage that is right but for one flaw, to show that the suite finds the flaw.
//!
//! Unlike the memory storage it can come to every harm, so that without a flaw it must pass every case.

mod decide;
mod flaw;
mod harness;
mod storage;

pub(crate) use flaw::Flaw;
pub(super) use flaw::{FLAWS, FOUND_ON_A_SHARED_STORE};
pub(crate) use harness::OnFlawed;
pub(crate) use storage::Flawed;
