//! By how much something grows.

use serde::{Deserialize, Serialize};

/// Resident memory at a time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the beginning.
    pub seconds: f64,
    /// In bytes.
    pub resident: u64,
}

/// The slope of the line that is nearest to the samples (least squares), by the hour and as a share of their mean; 0 for fewer than two.
pub fn slope_per_hour(samples: &[Sample]) -> f64 {
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / samples.len() as f64;
    let (time, memory) = (mean(|sample| sample.seconds), mean(|sample| sample.resident as f64));
    let (mut together, mut alone) = (0.0, 0.0);
    for sample in samples {
        together += (sample.seconds - time) * (sample.resident as f64 - memory);
        alone += (sample.seconds - time).powi(2);
    }
    if alone > 0.0 { together / alone * 3600.0 / memory } else { 0.0 }
}
