//! Far futures.

use std::time::Duration;

use tokio::time::Instant;

use super::later;

const YEAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

#[test]
fn what_lasts_for_ever_lasts_for_decades_and_what_lasts_for_years_is_not_cut() {
    let now = Instant::now();
    assert_eq!(later(now, YEAR * 20).duration_since(now), YEAR * 20);
    assert!(later(now, Duration::MAX).duration_since(now) >= YEAR * 25);
}
