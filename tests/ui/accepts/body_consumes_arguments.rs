//! A body that moves its arguments, after key, hash and tenant were made of them.

use idem_ui::{Runs, assert_once};
use idempotency::{Error, idempotent};
use serde::Serialize;

static RUNS: Runs = Runs::new();

#[derive(Serialize)]
struct Request {
    user: String,
    lines: Vec<String>,
}

#[idempotent(key = "order:{req.user}:{note}", tenant = req.user)]
async fn place(req: Request, note: String) -> Result<Vec<String>, Error> {
    let Request { user, mut lines } = req;
    lines.push(user);
    drop(note);
    lines.push(RUNS.next().to_string());
    Ok(lines)
}

#[test]
fn accepted() {
    let call = || place(Request { user: "u".into(), lines: vec!["a".into()] }, "n".into());
    assert_once(&RUNS, call, &["a", "u", "1"].map(str::to_owned).to_vec());
}
