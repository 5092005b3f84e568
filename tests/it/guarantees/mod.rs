//! The guarantees, one module each. A test's name says what must hold.

mod g01_one_result;
mod g02_one_runner;
mod g03_fenced_writes;
mod g03_rising_fences;
mod g04_faithful_replay;
mod g05_crash_recovery;
mod g05_parked_records;
mod g06_cancellation;
mod g06_finish_on_cancel;
mod g07_instances;
mod g07_mismatch_first;
mod g08_isolation;
mod g09_honest_failure;
mod g10_safe_retries;
mod g11_fail_closed;
mod g12_backend_limits;
mod g13_storage_clock;
