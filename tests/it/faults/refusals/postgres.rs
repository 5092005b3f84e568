//! What Postgres refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use idem_runtime::storage::{PostgresStorage, StorageErrorKind};
use testkit::sql::{Product, SqlServer, query};

use super::{NOWHERE, PASSWORD, Refusal, hold_all, on_database, signed_in, stranger};

/// `sealed` comes in encrypted, `banned` from nowhere, `certified` with a certificate; all others with a password.
const RULES: &str = "hostssl all sealed all scram-sha-256\n\
                     host all banned all reject\n\
                     host all sealed all reject\n\
                     host all all all scram-sha-256\n";

const USERS: &str = "CREATE ROLE sealed LOGIN PASSWORD 'password';
     CREATE ROLE banned LOGIN PASSWORD 'password';
     CREATE ROLE locked NOLOGIN PASSWORD 'password';
     CREATE ROLE outsider LOGIN PASSWORD 'password';
     CREATE ROLE busy LOGIN PASSWORD 'password' CONNECTION LIMIT 0;
     CREATE DATABASE closed ALLOW_CONNECTIONS false;
     CREATE DATABASE private;
     REVOKE CONNECT ON DATABASE private FROM PUBLIC";

fn run(url: &str, statements: &str) {
    for statement in statements.split(';') {
        query(url, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_postgres_refuses_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("pg_hba.conf");
    fs::write(&rules, RULES).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = SqlServer::builder(Product::Postgres)
        .without_fsync()
        .setting("hba_file", &rules.display().to_string())
        .start();
    let url = server.url();
    run(&url, USERS);
    let at = |user| signed_in(&url, user, "password");
    let host = url.replace("127.0.0.1", "name.invalid");
    let port = url.replace(&format!(":{}/", server.port()), &format!(":{NOWHERE}/"));
    let outsider = at("outsider");
    hold_all(vec![
        // The address.
        Refusal::passing(host, &["cannot connect to postgres at name.invalid:", "host name"]),
        Refusal::passing(port, &["cannot connect to postgres at 127.0.0.1:", "nothing listens"]),
        // TLS.
        Refusal::configuration(at("sealed"), &["encrypted connection", "sslmode", "TLS feature"])
            .never(&["password"]),
        Refusal::configuration(format!("{url}?sslmode=require"), &["encrypted", "TLS feature"])
            .never(&["password"]),
        // The login.
        Refusal::configuration(
            signed_in(&url, "outsider", PASSWORD),
            &["user name or the password"],
        )
        .never(&["encrypted"]),
        Refusal::configuration(signed_in(&url, "nobody", PASSWORD), &["user name or the password"]),
        Refusal::configuration(at("locked"), &["may not log in"]).never(&["or the password"]),
        Refusal::configuration(at("banned"), &["not from this host at all", "pg_hba.conf"])
            .never(&["or the password"]),
        // Rights on the database, and the database.
        Refusal::configuration(on_database(&outsider, "private"), &["grant CONNECT"])
            .never(&["table", "password"]),
        Refusal::configuration(on_database(&url, "missing"), &["no database of this name"]),
        Refusal::configuration(on_database(&url, "closed"), &["takes no connections"]),
        // Settings.
        Refusal::configuration(
            format!("{url}?options=-c%20no_such=1"),
            &["setting of the session"],
        ),
        Refusal::configuration(
            format!("{url}?options=-c%20statement_timeout=hunter"),
            &["setting of the session"],
        )
        .never(&["record"]),
        Refusal::passing(at("busy"), &["no connection left"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_and_is_no_postgres_is_told_so() {
    let url = format!("postgres://user:{PASSWORD}@{}/db", stranger().await);
    Refusal::passing(url, &["cannot connect to postgres at 127.0.0.1:", "kind of server"])
        .hold()
        .await;
}

/// Who may not make tables is told of that, and who may not use those that are there of this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_tables_and_on_their_schema_are_told_apart() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let url = server.url();
    run(
        &url,
        "CREATE ROLE reader LOGIN PASSWORD 'password';
         CREATE ROLE stranger LOGIN PASSWORD 'password';
         CREATE SCHEMA hidden",
    );
    let at = |user| signed_in(&url, user, "password");
    let error = PostgresStorage::connect(at("reader")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("may not create or change the table") && text.contains("CREATE"),
        "{text}"
    );
    assert!(!text.contains("read and write"), "{text}");

    PostgresStorage::connect(&url).await.unwrap().migrate().await.unwrap();
    Refusal::configuration(at("reader"), &["the right to SELECT"]).hold().await;
    run(&url, "GRANT SELECT, INSERT, UPDATE ON idempotency_records TO reader");
    Refusal::configuration(at("reader"), &["the right to DELETE"]).hold().await;

    let hidden = || PostgresStorage::builder().schema("hidden");
    hidden().connect(&url).await.unwrap().migrate().await.unwrap();
    let error = hidden().connect(at("stranger")).await.unwrap_err();
    let says = &["the right to SELECT", "may not use the schema", "USAGE"];
    Refusal::configuration("", says).judge(&error.into());
}
