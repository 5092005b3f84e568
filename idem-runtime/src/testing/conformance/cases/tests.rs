//! The suite and the contract are the same list.

use std::collections::BTreeSet;

use crate::storage::MemoryStorage;
use crate::testing::conformance::{Harm, Harness, Inflicted, Opened};

enum Anything {}

impl Harness for Anything {
    type Storage = MemoryStorage;
    fn storage(&self) -> &MemoryStorage {
        match *self {}
    }
    async fn now(&self) -> crate::record::Timestamp {
        match *self {}
    }
    async fn elapse(&self, _: std::time::Duration) {}
    fn clock_is_exact(&self) -> bool {
        match *self {}
    }
    async fn second(&self) -> Opened<MemoryStorage> {
        match *self {}
    }
    async fn reopen(self) -> Opened<Self> {
        match self {}
    }
    async fn inflict(&self, _: Harm<'_>) -> Inflicted {
        match *self {}
    }
}

/// The bullets in the docs of the trait and of its module.
fn contract() -> BTreeSet<String> {
    let mut bullets: Vec<String> = Vec::new();
    let mut inside = false;
    for line in include_str!("../../../storage/mod.rs").lines() {
        let line = line.trim();
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            inside = false;
            continue;
        };
        let text = text.trim();
        if let Some(bullet) = text.strip_prefix("- ") {
            bullets.push(bullet.to_owned());
            inside = true;
        } else if text.is_empty() {
            inside = false;
        } else if inside && let Some(bullet) = bullets.last_mut() {
            bullet.push(' ');
            bullet.push_str(text);
        }
    }
    bullets.into_iter().collect()
}

#[test]
fn every_bullet_of_the_contract_has_a_case_and_every_case_a_bullet() {
    let tested: BTreeSet<_> =
        super::all::<Anything>().iter().map(|case| case.contract.to_owned()).collect();
    let contract = contract();
    assert!(contract.len() > 30, "the contract was not found: {contract:#?}");
    let untested: Vec<_> = contract.difference(&tested).collect();
    let invented: Vec<_> = tested.difference(&contract).collect();
    assert!(untested.is_empty() && invented.is_empty(), "{untested:#?}\n{invented:#?}");
}

#[test]
fn names_of_cases_are_unique() {
    let cases = super::all::<Anything>();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
}
