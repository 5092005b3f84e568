//! Recipes that end by themselves.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::sql::{Product, SqlServer};

/// A folder with the records and the world of one test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn start(&self, recipe: &str, options: &[&str]) -> Child {
        let storage = format!("sqlite:{}", self.0.path().join("records.db").display());
        Command::new(env!("CARGO_BIN_EXE_recipes"))
            .args([recipe, "--storage", &storage, "--world"])
            .arg(self.0.path().join("world"))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, recipe: &str, options: &[&str]) -> Output {
        self.start(recipe, options).wait_with_output().unwrap()
    }

    /// The effects so far, sorted.
    pub(crate) fn effects(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join("world")).unwrap_or_default();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The world refuses connections until it is mended.
    pub(crate) fn break_world(&self) {
        fs::write(self.0.path().join("world.refuses"), "").unwrap();
    }

    pub(crate) fn mend_world(&self) {
        fs::remove_file(self.0.path().join("world.refuses")).unwrap();
    }

    /// The answer to the next effect is lost.
    pub(crate) fn lose_an_answer(&self) {
        fs::write(self.0.path().join("world.loses-an-answer"), "").unwrap();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn at_once(programs: Vec<Child>) -> Vec<String> {
    let outputs = programs.into_iter().map(|program| program.wait_with_output().unwrap());
    outputs
        .map(|output| if output.status.success() { said(&output) } else { complained(&output) })
        .collect()
}

#[test]
fn a_report_is_made_once_a_day_by_however_many_processes() {
    let place = Place::new();
    let on = |day| at_once((0..4).map(|_| place.start("daily", &["--day", day])).collect());
    let monday = on("2026-11-30");
    assert!(monday[0].starts_with("report of 2026-11-30 by process"), "{monday:?}");
    assert!(monday.iter().all(|report| *report == monday[0]), "{monday:?}");
    let late = on("2026-11-30");
    assert_eq!(late, monday);
    on("2026-12-01");
    assert_eq!(
        place.effects(),
        ["report of 2026-11-30 [2026-11-30]", "report of 2026-12-01 [2026-12-01]"]
    );
}

#[test]
fn a_report_whose_data_are_not_there_is_made_by_the_next_timer() {
    let place = Place::new();
    place.break_world();
    assert!(!place.run("daily", &["--day", "2026-11-30"]).status.success());
    place.mend_world();
    assert!(place.run("daily", &["--day", "2026-11-30"]).status.success());
    assert_eq!(place.effects(), ["report of 2026-11-30 [2026-11-30]"]);
}

#[test]
fn a_report_of_a_process_that_died_is_made_by_one_that_waits() {
    let place = Place::new();
    assert!(!place.run("daily", &["--day", "2026-11-30", "--dies"]).status.success());
    let reports = at_once((0..2).map(|_| place.start("daily", &["--day", "2026-11-30"])).collect());
    assert!(reports[0].starts_with("report of 2026-11-30"), "{reports:?}");
    assert_eq!(reports[0], reports[1]);
    assert_eq!(place.effects().len(), 1);
}

#[test]
fn a_mail_of_a_process_that_died_is_never_sent_again() {
    let place = Place::new();
    let options = ["--user", "7", "--lease-ms", "1000"];
    let died = place.run("mail", &[&options[..], &["--dies"]].concat());
    assert!(!died.status.success());
    let began = Instant::now();
    let parked = loop {
        let again = place.run("mail", &options);
        assert!(!again.status.success(), "{}", said(&again));
        if complained(&again).contains("parked: welcome-mail") {
            break complained(&again);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{}", complained(&again));
        sleep(Duration::from_millis(100));
    };
    assert!(!place.run("mail", &options).status.success(), "{parked}");
    assert_eq!(place.effects(), ["mail to 7"]);
}

#[test]
fn a_mail_with_an_unknown_outcome_is_not_sent_again() {
    let place = Place::new();
    place.lose_an_answer();
    for _ in 0..2 {
        assert!(!place.run("mail", &["--user", "7"]).status.success());
    }
    assert_eq!(place.effects(), ["mail to 7"]);
}

#[test]
fn a_mail_is_sent_once_and_one_that_the_server_refused_again() {
    let place = Place::new();
    place.break_world();
    assert!(!place.run("mail", &["--user", "7"]).status.success());
    place.mend_world();
    for _ in 0..2 {
        assert_eq!(said(&place.run("mail", &["--user", "7"])), "sent to 7");
    }
    assert_eq!(place.effects(), ["mail to 7"]);
}

fn consume(place: &Place, messages: &str) -> Child {
    let mut consumer = place.start("queue", &[]);
    // Its standard input ends with this.
    consumer.stdin.take().unwrap().write_all(messages.as_bytes()).unwrap();
    consumer
}

#[test]
fn messages_take_effect_once_in_however_many_consumers() {
    let place = Place::new();
    let orders: Vec<_> = (0..20).map(|id| format!("{{\"id\":{id},\"cents\":100}}\n")).collect();
    let good = orders.concat();
    let answers = at_once((0..3).map(|_| consume(&place, &good.repeat(2))).collect());
    for answer in &answers {
        assert_eq!(answer.lines().count(), 40);
        assert!(answer.lines().all(|line| ["ack", "redeliver"].contains(&line)), "{answers:?}");
    }
    let last = at_once(vec![consume(&place, &good)]);
    assert_eq!(last, [["ack"; 20].join("\n")]);
    assert_eq!(place.effects().len(), 20);
}

#[test]
fn a_permanent_error_is_dead_lettered_and_a_retryable_one_is_redelivered() {
    let place = Place::new();
    let bad = "{\"id\":1,\"cents\":-5}\nno order\n{\"id\":1,\"cents\":-5}\n";
    assert_eq!(at_once(vec![consume(&place, bad)]), ["dead-letter\ndead-letter\ndead-letter"]);
    place.break_world();
    let good = "{\"id\":2,\"cents\":5}\n";
    assert_eq!(at_once(vec![consume(&place, &good.repeat(2))]), ["redeliver\nredeliver"]);
    place.mend_world();
    place.lose_an_answer();
    assert_eq!(at_once(vec![consume(&place, &good.repeat(3))]), ["redeliver\nack\nack"]);
    assert_eq!(place.effects(), ["billed 2 5 [billing-2]"]);
}

#[test]
fn a_deposit_is_one_commit_with_its_record() {
    let server = SqlServer::start(Product::Postgres);
    let url = server.url();
    let deposit = |id: &str| {
        let mut recipe = Command::new(env!("CARGO_BIN_EXE_recipes"));
        recipe.args(["one-pool", "--database", &url, "--id", id]);
        let output = recipe.output().unwrap();
        assert!(output.status.success(), "{}", complained(&output));
        said(&output)
    };
    assert_eq!(deposit("1"), "balance 100");
    assert_eq!(deposit("2"), "balance 200");
    assert_eq!(deposit("1"), "balance 100");
    assert_eq!(server.query("SELECT count(*) FROM deposits"), "2");
}
