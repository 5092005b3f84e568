//! What happened to one key, and what is wrong with it.

use std::collections::BTreeMap;

use super::story::Story;
use crate::diary::Answer;

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) process: usize,
    pub(super) key: String,
    pub(super) parks: bool,
    pub(super) called: u64,
    pub(super) lease_lost: Option<u64>,
    pub(super) answered: Option<(u64, Answer)>,
}

impl Call {
    pub(super) fn new(id: u64, process: usize, key: String, parks: bool, called: u64) -> Self {
        Self { id, process, key, parks, called, lease_lost: None, answered: None }
    }
}

/// An execution of a body.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) process: usize,
    pub(super) call: u64,
    pub(super) fence: u64,
    pub(super) value: String,
    pub(super) start: u64,
    /// The end of time for one that nobody saw end.
    pub(super) end: u64,
    pub(super) finished: bool,
    /// Whether it released its key.
    pub(super) failed: bool,
}

impl Run {
    /// One that begins with a note of its call, fence and result.
    pub(super) fn new(process: usize, start: u64, note: &str) -> Self {
        let mut fields = note.splitn(3, ' ');
        let mut number = || fields.next().and_then(|field| field.parse().ok()).unwrap_or(0);
        let (call, fence) = (number(), number());
        let value = fields.next().unwrap_or_default().to_owned();
        Self { process, call, fence, value, start, end: u64::MAX, finished: false, failed: false }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) guarantee: &'static str,
    pub(super) text: String,
    /// From when to when a write that would have prevented it was acknowledged, and when it was missed, where a lost write explains it.
    pub(super) protected: Option<(u64, u64, u64)>,
}

/// What happened to a key, in the order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyStory {
    pub(super) calls: Vec<Call>,
    pub(super) runs: Vec<Run>,
}

impl KeyStory {
    /// All that is wrong.
    pub(super) fn findings(&self, story: &Story) -> Vec<Finding> {
        let told = self.told();
        let mut findings = self.more_than_one_result(&told);
        findings.extend(self.run_again(&told));
        findings.extend(self.parked_and_run());
        findings.extend(self.fences());
        findings.extend(self.overlaps(story).0);
        findings.extend(self.calls.iter().flat_map(|call| self.dishonest(call)));
        findings
    }

    /// When each result was first told to be recorded.
    ///
    /// A replay in the process whose body gave the result may come from there and not from the storage, so it says nothing.
    fn told(&self) -> BTreeMap<&str, u64> {
        let mut told = BTreeMap::new();
        for call in &self.calls {
            let value = match &call.answered {
                Some((_, Answer::Executed(value))) => value,
                Some((_, Answer::Replayed(value))) if self.runner(value) != Some(call.process) => {
                    value
                }
                _ => continue,
            };
            let at = call.answered.as_ref().map_or(u64::MAX, |(at, _)| *at);
            let first = told.entry(value.as_str()).or_insert(at);
            *first = at.min(*first);
        }
        told
    }

    fn run_of(&self, value: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.value == value)
    }

    fn runner(&self, value: &str) -> Option<usize> {
        self.run_of(value).map(|run| run.process)
    }

    /// From when on a result that was told at this time may have been recorded: who tells may have stood still between the two.
    fn written(&self, value: &str, told: u64) -> u64 {
        self.run_of(value).map_or(told, |run| run.end.min(told))
    }

    fn more_than_one_result(&self, told: &BTreeMap<&str, u64>) -> Vec<Finding> {
        let mut results: Vec<(u64, &str)> = told.iter().map(|(value, at)| (*at, *value)).collect();
        results.sort_unstable();
        let pairs = results.windows(2);
        let finding = |pair: &[(u64, &str)]| {
            let [(first, one), (second, two)] = pair else { return None };
            let begun = self.run_of(two).map_or(*second, |run| run.start);
            let written = self.written(one, *first);
            Some(Finding {
                guarantee: "G1",
                text: format!("two results, of calls {} and {}", short(one), short(two)),
                protected: Some((written.min(begun), *first, *second)),
            })
        };
        pairs.filter_map(finding).collect()
    }

    fn run_again(&self, told: &BTreeMap<&str, u64>) -> Vec<Finding> {
        let again = |run: &Run| {
            let before = told.iter().filter(|(_, at)| **at < run.start);
            let (value, before) = before.max_by_key(|(_, at)| **at)?;
            Some(Finding {
                guarantee: "G4",
                text: format!("call {:x} ran although the result had been told", run.call),
                protected: Some((self.written(value, *before), *before, run.start)),
            })
        };
        self.runs.iter().filter_map(again).collect()
    }

    fn parked_and_run(&self) -> Vec<Finding> {
        if !self.calls.iter().any(|call| call.parks) {
            return Vec::new();
        }
        let pairs = self.runs.windows(2).filter(|pair| !pair[0].failed);
        let finding = |pair: &[Run]| Finding {
            guarantee: "G5",
            text: format!(
                "calls {:x} and {:x} both ran, and a crash parks the key",
                pair[0].call, pair[1].call
            ),
            protected: Some((pair[0].start, pair[0].end, pair[1].start)),
        };
        pairs.map(finding).collect()
    }

    /// Each owner's is higher, also where the owner before gave the key back.
    fn fences(&self) -> Vec<Finding> {
        let pairs = self.runs.windows(2).filter(|pair| pair[1].fence <= pair[0].fence);
        let finding = |pair: &[Run]| Finding {
            guarantee: "G3",
            text: format!("the fence went from {} to {}", pair[0].fence, pair[1].fence),
            protected: Some((pair[0].start, pair[0].end, pair[1].start)),
        };
        pairs.map(finding).collect()
    }

    /// Bodies that began while another one ran, and how many more did so after the other one had lost its lease.
    pub(super) fn overlaps(&self, story: &Story) -> (Vec<Finding>, u64) {
        let (mut findings, mut after_a_lost_lease) = (Vec::new(), 0);
        for (place, first) in self.runs.iter().enumerate() {
            for second in self.runs[place + 1..].iter().filter(|second| second.start < first.end) {
                if self.had_lost_its_lease(first, second.start, story) {
                    after_a_lost_lease += 1;
                    continue;
                }
                findings.push(Finding {
                    guarantee: "G2",
                    text: format!("call {:x} ran while call {:x} did", second.call, first.call),
                    protected: Some((first.start, first.end, second.start)),
                });
            }
        }
        (findings, after_a_lost_lease)
    }

    /// Whether a body that ran at this time had been told that its lease was lost, or could not be told because its process stood still.
    fn had_lost_its_lease(&self, run: &Run, at: u64, story: &Story) -> bool {
        /// What is told is written down a moment later.
        const GRACE: u64 = 300_000_000;
        let told =
            self.calls.iter().find(|call| call.id == run.call).and_then(|call| call.lease_lost);
        let was_told = told.is_some_and(|told| told <= at.saturating_add(GRACE));
        let spans = story.still(run.process);
        was_told
            || spans.iter().any(|span| {
                span.from <= at.saturating_add(GRACE) && at <= span.to.saturating_add(GRACE)
            })
    }

    /// What a call was told that is not so.
    fn dishonest(&self, call: &Call) -> Vec<Finding> {
        let Some((_, answer)) = &call.answered else { return Vec::new() };
        let own: Vec<&Run> = self.runs.iter().filter(|run| run.call == call.id).collect();
        let finding = |guarantee, what: &str| Finding {
            guarantee,
            text: format!("call {:x} {what}: {answer:?}", call.id),
            protected: None,
        };
        let mut findings = Vec::new();
        match answer {
            Answer::Executed(value) | Answer::Unrecorded(value) => {
                if !matches!(own[..], [run] if run.finished && !run.failed && run.value == *value) {
                    findings.push(finding("G9", "did not run as it says"));
                }
            }
            Answer::Failed => {
                if !matches!(own[..], [run] if run.failed) {
                    findings.push(finding("G9", "did not run as it says"));
                }
            }
            Answer::Replayed(value) => {
                if !self.runs.iter().any(|run| run.finished && !run.failed && run.value == *value) {
                    findings.push(finding("G4", "was given a result that no body gave"));
                }
            }
            Answer::Refused { kind, .. } => {
                let ran = !own.is_empty();
                let fits = match kind.as_str() {
                    "storage" | "already_processing" => !ran,
                    "lease_lost" => ran,
                    "indeterminate" => call.parks,
                    _ => false,
                };
                if !fits {
                    findings.push(finding("G9", "was refused for no good reason"));
                }
            }
        }
        findings
    }
}

fn short(value: &str) -> String {
    let id = value.split('-').next().and_then(|id| id.parse::<u64>().ok());
    id.map_or_else(|| value.to_owned(), |id| format!("{id:x}"))
}
