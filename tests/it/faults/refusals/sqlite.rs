//! What SQLite refuses.

use std::fs;

use super::{Refusal, hold_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_sqlite_refuses_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(
        path("text.db"),
        "this is no database, but a text that is long enough to be looked at",
    )
    .unwrap();
    fs::create_dir(path("folder.db")).unwrap();
    hold_all(vec![
        // The address.
        Refusal::configuration(
            format!("sqlite:{}", path("missing/records.db")),
            &["cannot be opened", "folder"],
        ),
        Refusal::configuration(format!("sqlite:{}", path("folder.db")), &["cannot be opened"]),
        Refusal::configuration(
            format!("sqlite:{}?mode=ro", path("none.db")),
            &["cannot be opened", "mode"],
        ),
        Refusal::configuration(
            "sqlite:records.db?mode=nonsense",
            &["not a URL of a sqlite database"],
        ),
        // The database.
        Refusal::configuration(format!("sqlite:{}", path("text.db")), &["no sqlite database"]),
    ])
    .await;
}

/// Rights: a file that may be read alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_may_only_be_read_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("records.db").display().to_string();
    let storage = idem_runtime::storage::SqliteStorage::connect(format!("sqlite:{file}")).await;
    drop(storage.unwrap());
    let url = format!("sqlite:{file}?mode=ro");
    Refusal::configuration(url, &["read-only", "mode=ro"]).never(&["password"]).hold().await;
}
