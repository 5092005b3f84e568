//! Shortens a history that diverges.

use super::attempt::run_in_time;
use super::bench::Bench;
use super::model::Step;

/// Returns the shortest diverging history found, with its report. Removes pieces, first halves,
/// then smaller ones, down to single steps, as long as the rest still diverges.
pub(super) async fn shorten<B: Bench>(
    bench: &B,
    mut steps: Vec<Step>,
    mut story: String,
) -> (Vec<Step>, String) {
    let mut piece = steps.len().div_ceil(2);
    while piece > 0 {
        let mut is_shorter = false;
        let mut start = steps.len();
        while start > 0 {
            start = start.saturating_sub(piece).min(steps.len());
            let end = (start + piece).min(steps.len());
            let mut fewer = steps.clone();
            fewer.drain(start..end);
            if let Err(shorter) = run_in_time(bench, &merged(&fewer)).await {
                (steps, story) = (merged(&fewer), shorter);
                is_shorter = true;
            }
        }
        if piece > 1 {
            piece = piece.div_ceil(2);
        } else if !is_shorter {
            break;
        }
    }
    (steps, story)
}

/// The same steps, with consecutive passing times merged.
fn merged(steps: &[Step]) -> Vec<Step> {
    let mut merged: Vec<Step> = Vec::new();
    for step in steps {
        match (merged.last_mut(), step) {
            (Some(Step::Pass(before)), Step::Pass(time)) => *before += *time,
            _ => merged.push(step.clone()),
        }
    }
    merged
}
