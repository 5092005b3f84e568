//! Chaos: processes that share a real storage, a generator of what goes wrong with them, and a judge that knows neither.
//!
//! A [`round`] starts worker processes that call a few keys over and over, kills and stops them, cuts and delays their connections, and kills,
//! stops, fills and fails over the servers, all as a seed says. Every execution of a body is entered in a ledger that is independent of the
//! library, and every answer in a [`diary`]. When all is well again an [`audit`] calls each key once more. Then the [`oracle`] judges.
//!
//! | file | |
//! |---|---|
//! | [`backend`] | what there is to try, what each promises, and what is done to it |
//! | [`setup`] | the servers of a backend |
//! | [`fault`] | what can go wrong, and how often it did |
//! | [`round`] | one round |
//! | [`workers`] | the processes, as the round holds them |
//! | [`load`] | what a process is told, and what its keys are like |
//! | [`worker`] | the process |
//! | [`runtimes`] | its runtimes: one that it shares, one that stands still, one that ends |
//! | [`pool`] | the application's pool, which storage and bodies share |
//! | [`diary`] | what callers were told |
//! | [`flaw`] | mistakes to be put into a process, so that the judge can be seen to find them |
//! | [`audit`] | everybody's last question |
//! | [`oracle`] | what must hold |
//! | [`campaign`] | many rounds on many backends |
//! | [`report`] | the table and the file |
//! | [`soak`] | the same for hours: does anything grow or stay? |
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program for tests, with figures for people: a round that cannot go on panics, as the testkit does"
)]

pub mod audit;
pub mod backend;
pub mod campaign;
pub mod diary;
pub mod fault;
pub mod flaw;
pub mod load;
pub mod oracle;
pub mod pool;
pub mod report;
pub mod round;
pub mod runtimes;
pub mod setup;
pub mod soak;
pub mod worker;
pub mod workers;
