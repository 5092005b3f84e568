//! From the samples of a contest to rows.

use std::time::Duration;

use crate::load::Sample;
use crate::report::Row;

/// The median of the ratios and the ratio of the medians are the same where both subjects run steadily. A row in which they are further
/// apart than this says so: it is to be measured again before anything is concluded from it.
const UNSTEADY: f64 = 0.1;

/// What is compared with what in a row.
pub(crate) struct Comparison {
    pub(crate) scenario: &'static str,
    /// Index of the subject.
    pub(crate) subject: usize,
    /// Index of what it is measured against, and its name.
    pub(crate) limit: usize,
    pub(crate) limit_is: &'static str,
    /// The least ratio that was promised.
    pub(crate) at_least: Option<f64>,
}

impl Comparison {
    pub(crate) fn row(
        &self,
        storage: &'static str,
        callers: usize,
        samples: &[Vec<Sample>],
    ) -> Row {
        let (subject, limit) = (&samples[self.subject], &samples[self.limit]);
        // Samples that were taken right after each other are compared, so that a busy moment slows both down.
        let ratio = median(subject.iter().zip(limit).map(|(a, b)| a.per_second() / b.per_second()));
        let mut latencies: Vec<_> =
            subject.iter().flat_map(|sample| &sample.latencies).copied().collect();
        latencies.sort_unstable();
        let failed: usize =
            [subject, limit].into_iter().flatten().map(|sample| sample.failed).sum();
        let [ours, theirs] =
            [subject, limit].map(|samples| median(samples.iter().map(Sample::per_second)));
        let mut row = Row {
            ops_per_s: Some(ours),
            limit_ops_per_s: Some(theirs),
            ratio: Some(ratio),
            cpu_us: Some(median(subject.iter().map(Sample::cpu_us))),
            limit_cpu_us: Some(median(limit.iter().map(Sample::cpu_us))),
            p50_us: percentile(&latencies, 50),
            p99_us: percentile(&latencies, 99),
            limit_is: self.limit_is,
            target: self.at_least.map(|least| format!("ratio ≥ {least:.2}")),
            met: self.at_least.map(|least| ratio >= least && failed == 0),
            ..Row::new(storage, self.scenario, callers)
        };
        if failed > 0 {
            row.remark(&format!("{failed} calls failed"));
        }
        if (ratio * theirs / ours - 1.0).abs() > UNSTEADY {
            row.remark(&format!("unsteady: the medians' ratio is {:.2}", ours / theirs));
        }
        row
    }
}

/// The value in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// In microseconds, of sorted durations.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(last * percent / 100).map(|duration| duration.as_secs_f64() * 1e6)
}
