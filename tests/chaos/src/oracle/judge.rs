//! The judgement of a round.

use std::time::Duration;

use serde::Serialize;

use super::of_key::{Call, Finding};
use super::story::{Span, Story};
use crate::backend::Promise;
use crate::diary::{Answer, What};

/// A guarantee that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub guarantee: &'static str,
    /// For which key, where it is about one.
    pub key: String,
    /// How.
    pub text: String,
}

/// What a round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Calls that were made.
    pub operations: u64,
    /// Bodies that began.
    pub executions: u64,
    /// Calls that ended with an error of the storage: their bodies did not run.
    pub refused: u64,
    /// Calls that were told that their result is not recorded.
    pub unrecorded: u64,
    /// Bodies that began while another ran whose lease was lost, as it knew or would have known had it not stood still.
    pub overlaps_after_lost_leases: u64,
    /// How often a process stood still for longer than a tenth of a second.
    pub stood_still: u64,
    /// Keys that ran again, or had two runners or results, because the backend lost what its documentation says it can lose.
    pub losses: u64,
    /// What was broken.
    pub violations: Vec<Violation>,
}

/// Beside its lease, how long a key whose owner died may keep its next caller waiting: a poll, and a machine that is busy.
const STEP: Duration = Duration::from_secs(3);

/// Judges a round.
pub fn judge(story: &Story) -> Verdict {
    let mut verdict = Verdict { violations: of_processes(story), ..Verdict::default() };
    for (key, told) in story.by_key() {
        verdict.operations += told.calls.len() as u64;
        verdict.executions += told.runs.len() as u64;
        let answered = |fits: fn(&Answer) -> bool| {
            let answers = told.calls.iter().filter_map(|call| call.answered.as_ref());
            answers.filter(|(_, answer)| fits(answer)).count() as u64
        };
        verdict.refused +=
            answered(|answer| matches!(answer, Answer::Refused { kind, .. } if kind == "storage"));
        verdict.unrecorded += answered(|answer| matches!(answer, Answer::Unrecorded(_)));
        verdict.overlaps_after_lost_leases += told.overlaps(story).1;
        let (admitted, broken): (Vec<_>, Vec<_>) =
            told.findings(story).into_iter().partition(|finding| story.explains(finding));
        verdict.losses += u64::from(!admitted.is_empty());
        // One that was refused by a storage that had just come back was made again.
        let asked = told.calls.iter().rfind(|call| call.process == story.last);
        let late = asked.and_then(|call| late(call, story.lease));
        let broken = broken.into_iter().map(|Finding { guarantee, text, .. }| (guarantee, text));
        let of_key = |(guarantee, text)| Violation { guarantee, key: key.clone(), text };
        verdict.violations.extend(broken.chain(late).map(of_key));
    }
    for (key, what) in &story.left {
        let text = format!("its record is {what} at the end");
        verdict.violations.push(Violation { guarantee: "G5", key: key.clone(), text });
    }
    let notes = story.processes.iter().flat_map(|process| &process.notes);
    verdict.stood_still =
        notes.filter(|note| matches!(note.what, What::StoodStill { .. })).count() as u64;
    verdict
}

/// What is wrong with processes as such.
fn of_processes(story: &Story) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut found =
        |guarantee, text| violations.push(Violation { guarantee, key: String::new(), text });
    for (number, process) in story.processes.iter().enumerate() {
        if let Some(how) = &process.ended_badly {
            found("G6", format!("process {number} {how}"));
        }
        for note in &process.notes {
            if let What::LeftBehind { calls } = note.what {
                found("G6", format!("process {number} ended with {calls} calls still counted"));
            }
        }
    }
    violations
}

/// What is wrong with the answer to the last question about a key.
fn late(call: &Call, lease: Duration) -> Option<(&'static str, String)> {
    let limit = lease + STEP;
    match &call.answered {
        Some((at, _)) if Duration::from_nanos(at - call.called) > limit => {
            let took = Duration::from_nanos(at - call.called);
            Some(("G5", format!("the last question was answered after {took:.1?}")))
        }
        Some((_, Answer::Executed(_) | Answer::Replayed(_))) => None,
        Some((_, Answer::Refused { kind, .. })) if kind == "indeterminate" && call.parks => None,
        other => Some((
            "G5",
            format!(
                "the last question was answered by {:?}",
                other.as_ref().map(|(_, answer)| answer)
            ),
        )),
    }
}

impl Story {
    /// When a process stood still.
    pub(super) fn still(&self, process: usize) -> Vec<Span> {
        let Some(process) = self.processes.get(process) else { return Vec::new() };
        let noticed = process.notes.iter().filter_map(|note| match note.what {
            What::StoodStill { since } => Some(Span { from: since, to: note.at }),
            _ => None,
        });
        process.stops.iter().copied().chain(noticed).collect()
    }

    /// Whether the backend says that it may have lost the write that should have prevented this.
    fn explains(&self, finding: &Finding) -> bool {
        let Some((first, last, missed)) = finding.protected else { return false };
        let lag = match self.promise {
            Promise::KeepsAll => return false,
            Promise::ForgetsAtCrash => u64::MAX,
            Promise::ForgetsAtFailOver(lag) => u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX),
        };
        self.losses.iter().any(|loss| {
            let within = first <= loss.to && last >= loss.from.saturating_sub(lag);
            within && missed >= loss.from
        })
    }
}
