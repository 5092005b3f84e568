//! The attribute as its users meet it: what it accepts, what it refuses, and what it says then.
//!
//! The names of the files are the specification. Those in `accepts` are modules of this test, those in
//! `pass` programs: each asserts that duplicates execute once and get a faithful replay. Those in
//! `fail` have one error each, at the place of the mistake, with a `= help:` line; those whose names
//! begin with `several_mistakes` have one for each mistake. A check of the types alone does not find
//! those in `fail_when_built`. In `warns` are the warnings that the attribute does not hide.

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    unreachable_pub,
    unnameable_types,
    reason = "functions as users write them"
)]
mod accepts;

use idempotency::{Error, Idempotency, idempotent};

/// Without a program that runs, trybuild checks all of these at once and links none.
#[test]
fn refused_functions() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("fail/*.rs");
    cases.compile_fail("warns/*.rs");
}

/// Beside programs that run, trybuild builds the refused ones too.
#[test]
fn built_programs() {
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*.rs");
    cases.compile_fail("fail_when_built/*.rs");
}

/// `compile_fail` alone would accept a second error that somebody let slip into a `.stderr`.
#[test]
fn refusals_are_one_error_with_help() {
    let folders = ["fail", "fail_when_built"].map(|folder| std::fs::read_dir(folder).unwrap());
    let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let outputs: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|kind| kind == "stderr")).collect();
    assert!(outputs.len() >= 35, "{} refused shapes", outputs.len());
    for path in outputs {
        let text = std::fs::read_to_string(&path).unwrap();
        let count =
            |start| text.lines().filter(|line| line.trim_start().starts_with(start)).count();
        let mistakes = mistakes_of(path.file_stem().unwrap().to_str().unwrap());
        assert_eq!(count("error"), mistakes, "{}", path.display());
        assert_eq!(count("warning"), 0, "{}", path.display());
        assert!(count("= help:") >= mistakes, "{}", path.display());
    }
}

/// How many mistakes a case has. All of them are reported: who mends one must not meet the next one then.
fn mistakes_of(case: &str) -> usize {
    match case {
        "several_mistakes" => 4,
        "several_mistakes_beside_tx" => 9,
        "several_mistakes_in_the_key" => 11,
        "several_mistakes_of_the_function" => 10,
        "several_mistakes_without_commas" => 3,
        _ => 1,
    }
}

#[idempotent(key = "beside-a-test", with = Idempotency::memory())]
#[tokio::test]
async fn goes_beside_a_test_attribute() -> Result<(), Error> {
    assert_eq!(idempotency::current().unwrap().operation(), "goes_beside_a_test_attribute");
    Ok(())
}
