//! Criterion decides how many calls a sample has, warms up, and keeps its statistics from run to run in `target/criterion`.
//!
//! It measures one subject at a time, minutes apart; on a busy machine that says nothing about a ratio. So what criterion sees as one
//! benchmark makes every subject of a contest run the same number of calls in turn, and criterion gets the time of the first.

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use tokio::runtime::Runtime;

use crate::load::Sample;

/// One of those that do the same job. Makes so many calls from so many callers.
pub(crate) type Subject<'a> = Box<dyn FnMut(&Runtime, usize, usize) -> Sample + 'a>;

pub(crate) struct Sampling<'a> {
    criterion: Criterion,
    samples: u32,
    pub(crate) runtime: &'a Runtime,
}

impl<'a> Sampling<'a> {
    /// With so many samples for each subject.
    pub(crate) fn new(runtime: &'a Runtime, samples: u32, output: &Path) -> Self {
        let criterion = Criterion::default()
            .sample_size(samples as usize)
            .nresamples(5_000)
            .output_directory(output)
            .without_plots();
        Self { criterion, samples, runtime }
    }

    /// Has the subjects make calls in turn. The samples come by subject; those at the same place were taken right after each other.
    pub(crate) fn contest(
        &mut self,
        group: &str,
        scenario: &str,
        callers: usize,
        subjects: &mut [Subject<'_>],
    ) -> Vec<Vec<Sample>> {
        let runtime = self.runtime;
        let mut turn = Duration::ZERO;
        for subject in &mut *subjects {
            // Some make things on their first call that all later ones use.
            subject(runtime, callers, callers);
            turn = turn.max(subject(runtime, callers, callers).elapsed);
        }
        let mut samples = vec![Vec::new(); subjects.len()];
        let mut group = self.criterion.benchmark_group(group);
        let round = slice(turn) * u32::try_from(subjects.len()).unwrap_or(u32::MAX);
        group
            .sampling_mode(SamplingMode::Flat)
            .throughput(Throughput::Elements(1))
            .warm_up_time(round * 4)
            .measurement_time(round * self.samples);
        group.bench_function(BenchmarkId::new(scenario, callers), |bencher| {
            bencher.iter_custom(|calls| {
                let calls = usize::try_from(calls).unwrap_or(usize::MAX);
                let count = subjects.len();
                let first = samples[0].len();
                // Another one goes first every time.
                for place in 0..count {
                    let subject = (first + place) % count;
                    samples[subject].push(subjects[subject](runtime, callers, calls));
                }
                samples[0][first].elapsed
            });
        });
        group.finish();
        for samples in &mut samples {
            // Those of the warm-up come first.
            samples.drain(..samples.len().saturating_sub(self.samples as usize));
        }
        samples
    }
}

/// How long a sample of one subject is, where each caller has its turn in the given time. Many short ones are best, because subjects that take
/// turns then meet the same weather; but each caller should have its turn a few dozen times, lest the beginning and the end be all there is.
fn slice(turn: Duration) -> Duration {
    (turn * 24).clamp(Duration::from_millis(20), Duration::from_millis(160))
}
