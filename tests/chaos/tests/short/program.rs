//! `cargo xtask chaos` itself: the table, the file, and how to repeat what broke something.

use std::process::Command;

use idem_chaos::backend::Backend;
use idem_chaos::fault::Tally;
use idem_chaos::oracle::{Verdict, Violation};
use idem_chaos::report::Report;
use tempfile::TempDir;

#[test]
fn a_campaign_prints_a_table_and_writes_a_file() {
    let dir = TempDir::new().unwrap();
    // The file goes beside the program's folder.
    let program = dir.path().join("debug/idem-chaos");
    std::fs::create_dir(dir.path().join("debug")).unwrap();
    std::fs::copy(super::program(), &program).unwrap();
    let arguments =
        ["chaos", "--minutes", "0.01", "--only", "sqlite", "--seconds", "4", "--seed", "17"];
    let output = Command::new(&program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for head in ["worker killed", "calls", "executions", "losses admitted", "violations", "seed 17"]
    {
        assert!(text.contains(head), "{text}");
    }
    let file = std::fs::read_to_string(dir.path().join("chaos/17.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(report["seed"], 17);
    assert!(report["backends"]["sqlite"]["executions"].as_u64() > Some(0), "{file}");
    let faults = report["backends"]["sqlite"]["faults"].as_object().unwrap();
    assert!(faults.values().any(|times| times.as_u64() > Some(0)), "{file}");
}

#[test]
fn what_broke_something_comes_with_the_command_that_repeats_it() {
    let violation = Violation { guarantee: "G1", key: "k7".into(), text: "two results".into() };
    let verdict = Verdict { violations: vec![violation], ..Verdict::default() };
    let mut report = Report::new(23);
    assert!(!report.holds(&[Backend::Cluster]), "nothing has been tried");
    report.add(Backend::Cluster, 4, &Tally::new(), &Verdict::default());
    assert!(report.holds(&[Backend::Cluster]));
    report.add(Backend::Cluster, 5, &Tally::new(), &verdict);
    assert!(!report.holds(&[Backend::Cluster]));
    let text = report.to_string();
    assert!(text.contains("cargo xtask chaos --seed 23 --only cluster --round 5"), "{text}");
}
