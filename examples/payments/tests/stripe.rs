//! Stripe's official client for Python, with its own retries, on a network that loses things.

use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use testkit::clients::python;
use testkit::process::command;
use testkit::proxy::{FaultProxy, Loss};

use crate::service::{Service, booked};

const CHARGES: usize = 4;

/// Charges several times, one after the other, and prints the ids.
const SCRIPT: &str = r#"
import sys, stripe

stripe.api_base = sys.argv[1]
stripe.api_key = "sk_test_ann"
stripe.max_network_retries = 10
for charge in range(int(sys.argv[2])):
    print(stripe.Charge.create(amount=1999, currency="eur", source="tok_visa").id)
"#;

fn charge_over(proxy: &FaultProxy) -> Output {
    let mut script = command(python());
    script.args(["-c", SCRIPT, &format!("http://{}", proxy.addr()), &CHARGES.to_string()]);
    script.stdin(Stdio::null()).output().unwrap()
}

fn assert_charged_once_each(script: &Output, dir: &TempDir) {
    assert!(script.status.success(), "{script:?}");
    let ids = String::from_utf8_lossy(&script.stdout);
    assert_eq!(ids.lines().collect::<Vec<_>>(), ["ch_1", "ch_2", "ch_3", "ch_4"]);
    let booked = booked(dir.path());
    assert_eq!(booked.len(), CHARGES);
    assert!(booked.values().all(|&times| times == 1), "{booked:?}");
}

#[test]
fn lost_requests_and_lost_replies_charge_once() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path());
    let proxy = FaultProxy::start(service.addr);
    proxy.drop_replies(Loss::next(3).of_requests_with("POST /v1/charges"));
    proxy.drop_requests(Loss::next(2).of_requests_with("POST /v1/charges"));
    let script = charge_over(&proxy);
    assert_charged_once_each(&script, &dir);
    let counts = proxy.counts();
    assert_eq!((counts.dropped_replies, counts.dropped_requests), (3, 2));
}

/// The client retries while its first attempt is still being handled, and gets that one's response.
#[test]
fn connections_that_are_cut_while_the_bank_is_at_work_charge_once() {
    let dir = TempDir::new().unwrap();
    let service = Service::start_with(dir.path(), &["--bank-takes", "1s"]);
    let proxy = FaultProxy::start(service.addr);
    let script = thread::scope(|scope| {
        let script = scope.spawn(|| charge_over(&proxy));
        let mut cuts = 0;
        while !script.is_finished() {
            let requests = proxy.counts().requests;
            // Twice as many as there are charges: by then every one was hit, and the rest gets through.
            if cuts < 2 * CHARGES && proxy.counts().open > 0 && requests > cuts {
                thread::sleep(Duration::from_millis(200));
                proxy.cut();
                cuts += 1;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert!(cuts > 0, "nothing was cut");
        script.join().unwrap()
    });
    assert_charged_once_each(&script, &dir);
}
