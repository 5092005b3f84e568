//! The judge is right about rounds that were made up.

use std::time::Duration;

use idem_chaos::backend::Promise;
use idem_chaos::diary::{Answer, Note, What};
use idem_chaos::oracle::{Process, Span, Story, Verdict, judge};
use idem_chaos::worker::FAILED;
use testkit::ledger;

const KEY: &str = "k1";
const MS: u64 = 1_000_000;

/// A round in the making; times are in milliseconds.
struct Scene(Story);

impl Scene {
    /// Two processes and the one who asks last.
    fn new() -> Self {
        Self(Story {
            promise: Promise::KeepsAll,
            lease: Duration::from_millis(1500),
            processes: vec![Process::default(); 3],
            losses: Vec::new(),
            last: 2,
            left: Vec::new(),
        })
    }

    fn note(mut self, process: usize, call: u64, at: u64, what: What) -> Self {
        self.0.processes[process].notes.push(Note { at: at * MS, call, what });
        self
    }

    fn calls(self, process: usize, call: u64, at: u64) -> Self {
        self.note(process, call, at, What::Called { key: KEY.into(), parks: false })
    }

    fn calls_parked(self, process: usize, call: u64, at: u64) -> Self {
        self.note(process, call, at, What::Called { key: KEY.into(), parks: true })
    }

    fn hears(self, process: usize, call: u64, at: u64, answer: Answer) -> Self {
        self.note(process, call, at, What::Answered(answer))
    }

    fn entry(
        mut self,
        process: usize,
        call: u64,
        at: u64,
        what: ledger::What,
        note: String,
    ) -> Self {
        let entries = &mut self.0.processes[process].entries;
        entries.push(ledger::Entry {
            at: u128::from(at * MS),
            pid: 1,
            run: call,
            what,
            key: KEY.into(),
            note,
        });
        self
    }

    fn begins(self, process: usize, call: u64, fence: u64, at: u64) -> Self {
        self.entry(
            process,
            call,
            at,
            ledger::What::Start,
            format!("{call} {fence} {}", value(call)),
        )
    }

    fn finishes(self, process: usize, call: u64, at: u64) -> Self {
        self.entry(process, call, at, ledger::What::Finish, String::new())
    }

    fn fails(self, process: usize, call: u64, at: u64) -> Self {
        self.entry(process, call, at, ledger::What::Finish, FAILED.to_owned())
    }

    fn dies(self, process: usize, at: u64) -> Self {
        self.entry(process, 0, at, ledger::What::ProcessEnded, String::new())
    }

    /// A call that runs from `at` to 100 ms later and is told that it did.
    fn executes(self, process: usize, call: u64, fence: u64, at: u64) -> Self {
        let begun = self.calls(process, call, at).begins(process, call, fence, at + 1);
        begun.finishes(process, call, at + 99).hears(
            process,
            call,
            at + 100,
            Answer::Executed(value(call)),
        )
    }

    fn replays(self, process: usize, call: u64, at: u64, of: u64) -> Self {
        self.calls(process, call, at).hears(process, call, at + 1, Answer::Replayed(value(of)))
    }

    fn forgetful(mut self, promise: Promise, from: u64, to: u64) -> Self {
        self.0.promise = promise;
        self.0.losses.push(Span { from: from * MS, to: to * MS });
        self
    }

    fn verdict(&self) -> Verdict {
        judge(&self.0)
    }

    #[track_caller]
    fn holds(&self) -> Verdict {
        let verdict = self.verdict();
        assert_eq!(verdict.violations, [], "{}", self.0.tell(KEY));
        verdict
    }

    #[track_caller]
    fn breaks(&self, guarantee: &str) {
        let violations = self.verdict().violations;
        assert!(
            violations.iter().any(|found| found.guarantee == guarantee),
            "{violations:?}\n{}",
            self.0.tell(KEY)
        );
    }
}

fn value(call: u64) -> String {
    format!("{call}-xyz")
}

fn refused(kind: &str) -> Answer {
    Answer::Refused { kind: kind.into(), text: String::new() }
}

#[test]
fn one_execution_and_replays_are_good() {
    let verdict = Scene::new()
        .executes(0, 10, 1, 100)
        .replays(1, 20, 300, 10)
        .replays(2, 30, 900, 10)
        .holds();
    assert_eq!((verdict.operations, verdict.executions, verdict.losses), (3, 1, 0));
}

#[test]
fn a_crash_and_a_takeover_are_good() {
    let dead = Scene::new().calls(0, 10, 100).begins(0, 10, 1, 101).dies(0, 200);
    dead.executes(1, 20, 2, 1700).replays(2, 30, 2000, 20).holds();
}

#[test]
fn two_results_break_g1() {
    let scene = Scene::new()
        .calls(0, 10, 100)
        .begins(0, 10, 1, 101)
        .calls(1, 20, 110)
        .begins(1, 20, 2, 120);
    let scene = scene.finishes(0, 10, 200).hears(0, 10, 201, Answer::Executed(value(10)));
    let scene = scene.finishes(1, 20, 210).hears(1, 20, 211, Answer::Executed(value(20)));
    scene.breaks("G1");
}

#[test]
fn two_runners_break_g2_unless_the_first_was_told_or_stood_still() {
    let both = || {
        let first = Scene::new().calls(0, 10, 100).begins(0, 10, 1, 101);
        let second = first.executes(1, 20, 2, 3000);
        second
            .finishes(0, 10, 5000)
            .hears(0, 10, 5001, Answer::Replayed(value(20)))
            .replays(2, 30, 6000, 20)
    };
    both().breaks("G2");
    both().note(0, 10, 3600, What::LeaseLost).breaks("G2");
    let told = both().note(0, 10, 2900, What::LeaseLost);
    assert_eq!(told.holds().overlaps_after_lost_leases, 1);
    let mut stopped = both();
    stopped.0.processes[0].stops.push(Span { from: 1000 * MS, to: 3200 * MS });
    stopped.holds();
    both().note(0, 0, 3100, What::StoodStill { since: 1000 * MS }).holds();
    both().note(1, 0, 3100, What::StoodStill { since: 1000 * MS }).breaks("G2");
}

#[test]
fn a_lower_fence_breaks_g3_also_after_a_release() {
    let dead =
        || Scene::new().calls(0, 10, 100).begins(0, 10, 3, 101).note(0, 10, 150, What::LeaseLost);
    let late =
        |scene: Scene| scene.finishes(0, 10, 5000).hears(0, 10, 5001, Answer::Replayed(value(20)));
    late(dead().executes(1, 20, 1, 3000)).breaks("G3");
    late(dead().executes(1, 20, 4, 3000)).replays(2, 30, 6000, 20).holds();
    // Whoever went away, or was refused, may have released the key, and the fence goes on.
    let refused = |fence| {
        let refused = dead().calls(1, 15, 2000).hears(1, 15, 2900, refused("storage"));
        late(refused.executes(1, 20, fence, 3000))
    };
    refused(1).breaks("G3");
    refused(4).replays(2, 30, 6000, 20).holds();
    let gone = Scene::new().calls(0, 10, 100).begins(0, 10, 3, 101).finishes(0, 10, 150);
    gone.calls(1, 15, 200).executes(1, 20, 3, 3000).breaks("G3");
}

#[test]
fn a_body_that_failed_is_run_again_with_a_higher_fence() {
    let failed = || {
        let scene = Scene::new().calls_parked(0, 10, 100).begins(0, 10, 1, 101);
        scene.fails(0, 10, 199).hears(0, 10, 200, Answer::Failed)
    };
    failed().executes(1, 20, 2, 300).replays(2, 30, 900, 20).holds();
    failed().executes(1, 20, 1, 300).replays(2, 30, 900, 20).breaks("G3");
    // It gave no result, and is not the last word.
    failed().executes(1, 20, 2, 300).replays(2, 30, 900, 10).breaks("G4");
    let again = failed().calls(2, 30, 300).begins(2, 30, 2, 301).fails(2, 30, 310);
    again.hears(2, 30, 311, Answer::Failed).breaks("G5");
    Scene::new().executes(0, 10, 1, 100).hears(0, 10, 200, Answer::Failed).breaks("G9");
}

#[test]
fn running_after_the_result_was_told_breaks_g4() {
    Scene::new().executes(0, 10, 1, 100).executes(1, 20, 1, 300).breaks("G4");
    // Whoever was told that nothing is recorded cannot be surprised.
    let unrecorded = Scene::new().calls(0, 10, 100).begins(0, 10, 1, 101).finishes(0, 10, 150);
    let unrecorded =
        unrecorded.hears(0, 10, 160, Answer::Unrecorded(value(10))).replays(0, 11, 170, 10);
    unrecorded.executes(1, 20, 2, 2000).replays(2, 30, 3000, 20).holds();
}

#[test]
fn a_result_that_no_body_gave_breaks_g4() {
    Scene::new().executes(0, 10, 1, 100).replays(1, 20, 300, 99).breaks("G4");
}

#[test]
fn a_parked_key_that_runs_twice_breaks_g5() {
    let dead = || Scene::new().calls_parked(0, 10, 100).begins(0, 10, 1, 101).dies(0, 200);
    let asked =
        |scene: Scene| scene.calls_parked(2, 30, 2000).hears(2, 30, 2001, refused("indeterminate"));
    asked(dead()).holds();
    let again = dead().calls_parked(1, 20, 1800).begins(1, 20, 2, 1801).dies(1, 1850);
    asked(again).breaks("G5");
}

#[test]
fn a_last_question_without_an_answer_breaks_g5() {
    let dead = || Scene::new().calls(0, 10, 100).begins(0, 10, 1, 101).dies(0, 200);
    dead().calls(2, 30, 300).hears(2, 30, 400, refused("already_processing")).breaks("G5");
    dead().calls(2, 30, 300).breaks("G5");
    dead().executes(2, 30, 2, 300).holds();
    let late = dead().calls(2, 30, 300).begins(2, 30, 2, 7000).finishes(2, 30, 7001);
    late.hears(2, 30, 7002, Answer::Executed(value(30))).breaks("G5");
    let mut left = Scene::new().executes(0, 10, 1, 100);
    left.0.left.push((KEY.into(), "at work"));
    left.breaks("G5");
}

#[test]
fn processes_that_end_by_themselves_or_leave_calls_break_g6() {
    let mut scene = Scene::new().executes(0, 10, 1, 100);
    scene.0.processes[0].ended_badly = Some("panicked".into());
    scene.breaks("G6");
    Scene::new().note(0, 0, 100, What::LeftBehind { calls: 1 }).breaks("G6");
}

#[test]
fn answers_that_are_not_so_break_g9() {
    let ran = || Scene::new().calls(0, 10, 100).begins(0, 10, 1, 101).finishes(0, 10, 150);
    ran().hears(0, 10, 200, refused("storage")).breaks("G9");
    ran().hears(0, 10, 200, refused("already_processing")).breaks("G9");
    ran().hears(0, 10, 200, refused("corrupt")).breaks("G9");
    ran().hears(0, 10, 200, Answer::Executed(value(11))).breaks("G9");
    let not_run = Scene::new().calls(0, 10, 100).hears(0, 10, 200, Answer::Executed(value(10)));
    not_run.breaks("G9");
    Scene::new().calls(0, 10, 100).hears(0, 10, 200, refused("lease_lost")).breaks("G9");
    Scene::new().calls(0, 10, 100).hears(0, 10, 200, refused("indeterminate")).breaks("G9");
    Scene::new().calls(0, 10, 100).hears(0, 10, 200, refused("storage")).holds();
}

#[test]
fn what_a_backend_admits_to_lose_is_counted_apart_and_nothing_else_is() {
    let again = || Scene::new().executes(0, 10, 1, 1000).executes(1, 20, 1, 9000);
    let short = Promise::ForgetsAtFailOver(Duration::from_secs(1));
    assert_eq!(again().forgetful(short, 1500, 2000).holds().losses, 1);
    // The result had been told long before the failover.
    again().forgetful(short, 5000, 6000).breaks("G4");
    // It was lost before the failover.
    again().forgetful(short, 9500, 9900).breaks("G4");
    assert_eq!(again().forgetful(Promise::ForgetsAtCrash, 5000, 6000).holds().losses, 1);
    again().forgetful(Promise::ForgetsAtCrash, 9500, 9900).breaks("G4");
    again().forgetful(Promise::KeepsAll, 1500, 2000).breaks("G4");
    // It was recorded before the crash, and its caller stood still until after it.
    let late = Scene::new().calls(0, 10, 1000).begins(0, 10, 1, 1001).finishes(0, 10, 1100);
    let late = late.hears(0, 10, 3000, Answer::Executed(value(10))).executes(1, 20, 1, 9000);
    assert_eq!(late.forgetful(Promise::ForgetsAtCrash, 2000, 2500).holds().losses, 1);
}
