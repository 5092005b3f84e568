//! A short soak leaves nothing behind. Whether memory grows, only a long one can tell.

use std::time::Duration;

use idem_chaos::soak::{Sample, Soaked, redis, slope_per_hour, sqlite};
use tempfile::TempDir;

const LENGTH: Duration = Duration::from_secs(30);

fn is_clean(soak: &Soaked) {
    println!("{soak}");
    assert!(soak.is_clean(), "{soak}: {:?}", soak.left.at_work);
    assert!(soak.left.calls > 300, "hardly a call: {soak}");
    assert!(soak.left.executions > 100, "hardly a body: {soak}");
}

#[test]
fn redis_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let soak = redis(&super::program(), LENGTH, 1, dir.path());
    assert!(soak.disturbances > 10, "the connection was hardly disturbed");
    is_clean(&soak);
}

#[test]
fn sqlite_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    is_clean(&sqlite(&super::program(), LENGTH, 1, dir.path()));
}

#[test]
fn the_slope_is_that_of_the_nearest_line() {
    let line = |slope: u64| -> Vec<Sample> {
        let sample = |minute: u32| Sample {
            seconds: f64::from(minute) * 60.0,
            // Up and down by turns, which is no growth.
            resident: 1_000_000_000 + u64::from(minute) * slope + u64::from(minute % 2) * 1000,
        };
        (0..=120).map(sample).collect()
    };
    assert!(slope_per_hour(&line(0)).abs() < 1e-6);
    // By a fiftieth of what there is within the two hours, so by about a hundredth in each.
    assert!((slope_per_hour(&line(166_667)) - 0.0099).abs() < 1e-4);
    assert!(slope_per_hour(&[]).abs() < 1e-9);
}
