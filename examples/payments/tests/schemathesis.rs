//! schemathesis: whether the service does what `openapi.yaml` says, asked with requests of all kinds.

use std::fs;
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
    // As in the example's own folder, which it would fill with its files.
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(dir.path().join("tests")).unwrap();
    for file in ["schemathesis.toml", "tests/schemathesis_hooks.py"] {
        fs::copy(example.join(file), dir.path().join(file)).unwrap();
    }
    let mut schemathesis = command(python());
    schemathesis
        .args(["-m", "schemathesis.cli", "run", &format!("{url}/openapi.yaml"), "--url", &url])
        .args(["--header", "Authorization: Bearer sk_test_ann", "--checks", "all"])
        .args(["--max-examples", "50"])
        // The same requests every time.
        .args(["--seed", "1", "--generation-database", "none", "--continue-on-failure"])
        .current_dir(dir.path())
        .stdin(Stdio::null());
    let output = schemathesis.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{errors}");
    assert!(report.contains("Tested: 4") && report.contains("✅ Stateful"), "{report}");
    assert!(booked(dir.path()).len() > 10, "it has charged");
}
