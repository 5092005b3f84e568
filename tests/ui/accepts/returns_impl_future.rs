//! A function that returns `impl Future` and ends with an async block.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};

static RUNS: Runs = Runs::new();

#[idempotent(key = "order:{id}")]
fn place(id: u64, note: &str) -> impl Future<Output = Result<(String, u32), Error>> + Send {
    let note = note.to_uppercase();
    async move {
        if id == 0 {
            return Err(std::io::Error::other("zero")).map_err(refused);
        }
        Ok((note, RUNS.next()))
    }
}

fn refused(error: std::io::Error) -> Error {
    Error::new(idempotency::ErrorKind::KeyGeneration, error.to_string())
}

#[test]
fn accepted() {
    assert_once(&RUNS, || place(7, "a"), &("A".to_owned(), 1));
}
