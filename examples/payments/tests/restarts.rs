//! What is left when the service dies or stops.

use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testkit::clients::curl;
use testkit::process::{Process, command};
use testkit::redis::RedisServer;
use testkit::sql::Product;

use crate::service::{Service, booked};

/// The arguments of a curl that pays for an order and prints status and whether it was a replay.
fn pay(service: &Service, order: &str) -> Vec<String> {
    let url = format!("http://{}/payments", service.addr);
    let key = format!("Idempotency-Key: \"{order}\"");
    let body = r#"{"amount":1999,"currency":"eur","card":"tok_visa"}"#;
    let told = "%{http_code} %header{idempotent-replayed}";
    ["-s", "-o", "/dev/null", "-w", told, "-H", "Authorization: Bearer sk_test_ann", "-H", &key]
        .into_iter()
        .chain(["--json", body, &url])
        .map(ToOwned::to_owned)
        .collect()
}

fn paid(service: &Service, order: &str) -> String {
    let output = Command::new(curl()).args(pay(service, order)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn keys_are_known_after_a_crash() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path());
    assert_eq!(paid(&service, "order-1"), "201");
    service.kill();
    let service = Service::start(dir.path());
    assert_eq!(paid(&service, "order-1"), "201 true");
    assert_eq!(paid(&service, "order-2"), "201");
    assert_eq!(booked(dir.path()), [("order-1".to_owned(), 1), ("order-2".to_owned(), 1)].into());
}

/// Where the service's own disk is not what holds the records.
#[test]
fn keys_are_known_elsewhere_when_their_storage_is_shared() {
    let redis = RedisServer::start();
    let postgres = testkit::sql::shared(Product::Postgres).new_database();
    for url in [redis.url(), postgres] {
        let [here, elsewhere] = [(); 2].map(|()| TempDir::new().unwrap());
        let storage = ["--storage", &url];
        let service = Service::start_with(here.path(), &storage);
        assert_eq!(paid(&service, "order-1"), "201");
        service.kill();
        let service = Service::start_with(elsewhere.path(), &storage);
        assert_eq!(paid(&service, "order-1"), "201 true");
        assert!(booked(elsewhere.path()).is_empty());
    }
}

/// The client is killed while the bank is at work, and the service told to stop.
#[test]
fn what_a_client_that_went_away_has_asked_for_is_done_before_the_service_stops() {
    let dir = TempDir::new().unwrap();
    let service = Service::start_with(dir.path(), &["--bank-takes", "2s"]);
    let (client, order) = begun(&service);
    drop(client);
    service.stop();
    assert_eq!(booked(dir.path())[&order], 1);
    let service = Service::start(dir.path());
    assert_eq!(paid(&service, &order), "201 true");
}

/// A client whose payment is being made, and the order that it pays for. It is told by a second client that is kept waiting, and has no patience;
/// where the payment was over, the next order is tried.
fn begun(service: &Service) -> (Process, String) {
    for attempt in 1..=20 {
        let order = format!("order-{attempt}");
        let mut patient = command(curl());
        patient.args(pay(service, &order)).stdout(Stdio::null());
        let client = Process::spawn(patient);
        std::thread::sleep(Duration::from_millis(50 * attempt));
        let mut impatient = Command::new(curl());
        impatient.args(pay(service, &order)).args(["--max-time", "0.3"]);
        // There is no response.
        if impatient.output().unwrap().stdout.starts_with(b"000") {
            return (client, order);
        }
    }
    panic!("no client is kept waiting");
}
