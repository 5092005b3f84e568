//! schemathesis: whether the service does what `openapi.yaml` says, asked with requests of all kinds.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use testkit::clients::python;
use testkit::process::command;

use crate::service::{Service, booked};

#[test]
fn the_service_does_what_its_description_says() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path());
    let url = format!("http://{}", service.addr);
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut schemathesis = command(python());
    schemathesis
        .args(["-m", "schemathesis.cli", "run", &format!("{url}/openapi.yaml"), "--url", &url])
        .args(["--header", "Authorization: Bearer sk_test_ann", "--checks", "all"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "50"])
        // The same requests every time.
        .args(["--seed", "1", "--generation-database", "none", "--continue-on-failure"])
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", hooks)
        .current_dir(dir.path())
        .stdin(Stdio::null());
    let output = schemathesis.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{errors}");
    assert!(report.contains("Tested: 4"), "{report}");
    assert!(booked(dir.path()).len() > 10, "it has charged");
}
