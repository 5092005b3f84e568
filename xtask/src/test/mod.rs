//! `cargo xtask test`: everything that must hold before a change is good.
//!
//! The steps are in [`steps`], cheap failures first. One that fails does not keep the others from running, so that one run shows all there is
//! to repair.

mod dependencies;
mod examples;
mod features;
mod manifest;
mod report;
mod steps;
mod verdict;

use std::time::Instant;

use report::Report;
use steps::{STEPS, Servers, Step};

/// Which steps to run; without `only`, all.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) only: Vec<String>,
    pub(crate) skip: Vec<String>,
}

impl Selection {
    fn includes(&self, step: &Step) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == step.name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

/// The names of all steps, in their order.
pub(crate) fn step_names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|step| step.name)
}

/// Runs the selected steps, prints the report and says whether all is well.
pub(crate) fn run(selection: &Selection) -> bool {
    let mut report = Report::default();
    let mut servers = Servers::default();
    for step in STEPS.iter().filter(|step| selection.includes(step)) {
        println!("\n── {}: {}", step.name, step.about);
        let start = Instant::now();
        let verdict = (step.run)(&mut servers);
        report.add(step.name, verdict, start.elapsed());
    }
    println!("\n{report}");
    report.is_success()
}
