//! The attribute as its users meet it: what it accepts, what it refuses, and what it says then.
//!
//! The names of the files are the specification. Those in `pass` run: each asserts that duplicates execute once and get
//! a faithful replay.

#[test]
fn attribute() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}
