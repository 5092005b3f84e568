//! A stored response of HTTP.

use idem_http::fuzzing::stored_again;

/// What is read as a response and stored again stays what it is.
pub(crate) fn stored(bytes: &[u8]) {
    let Some(once) = stored_again(bytes) else { return };
    let twice = stored_again(&once).expect("what was stored is read");
    assert_eq!(once, twice, "a response changes with every replay");
}
