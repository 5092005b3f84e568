//! What must hold, judged by what bodies entered in the ledger and what callers were told.
//!
//! | guarantee | is broken when |
//! |---|---|
//! | G1 one result | two results of a key were told to be recorded |
//! | G2 one runner | a body began while another one ran whose process went on and had not been told that its lease was lost |
//! | G3 fenced writes | a later owner's fence is not higher, although nobody can have freed the key |
//! | G4 faithful replay | a body began after its key's result had been told, or a result was told that no body gave |
//! | G5 crash recovery | the last question about a key was not answered in time; a parked key ran twice; a key is left at work |
//! | G6 cancellation | a process ends and its handle still counts calls |
//! | G9 honest failure | a call says that its body did not run, and it did, or the other way round |
//!
//! Where a backend may lose what it acknowledged, what that explains is counted apart: a second run, result or runner is a *loss* only if the
//! write that should have prevented it falls into what the backend's documentation says can be lost, and is a violation otherwise.

mod judge;
mod of_key;
mod story;

pub use judge::{Verdict, Violation, judge};
pub use story::{Process, Span, Story};
