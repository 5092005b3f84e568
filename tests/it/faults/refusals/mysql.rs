//! What MariaDB and MySQL refuse.

use idem_runtime::storage::{MySqlStorage, StorageErrorKind};
use testkit::sql::{Product, SqlServer, query};

use super::{NOWHERE, PASSWORD, Refusal, hold_all, on_database, signed_in, stranger};

fn run(url: &str, statements: &str) {
    for statement in statements.split(';') {
        query(url, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_mysql_refuses_says_why() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    let url = server.url();
    run(
        &url,
        "CREATE USER app@'%' IDENTIFIED BY 'password';
         CREATE USER app@localhost IDENTIFIED BY 'password';
         CREATE USER sealed@'%' IDENTIFIED BY 'password' REQUIRE SSL;
         CREATE USER sealed@localhost IDENTIFIED BY 'password' REQUIRE SSL;
         CREATE USER locked@'%' IDENTIFIED BY 'password' ACCOUNT LOCK;
         CREATE USER locked@localhost IDENTIFIED BY 'password' ACCOUNT LOCK;
         CREATE DATABASE private",
    );
    let at = |user| signed_in(&url, user, "password");
    let host = url.replace("127.0.0.1", "name.invalid");
    let port = url.replace(&format!(":{}/", server.port()), &format!(":{NOWHERE}/"));
    hold_all(vec![
        // The address.
        Refusal::passing(host, &["cannot connect to mysql at name.invalid:", "host name"]),
        Refusal::passing(port, &["cannot connect to mysql at 127.0.0.1:", "nothing listens"]),
        // TLS.
        Refusal::configuration(at("sealed"), &["encrypted connection", "REQUIRE SSL"]),
        Refusal::configuration(format!("{url}?ssl-mode=REQUIRED"), &["encrypted", "TLS feature"])
            .never(&["password"]),
        // The login.
        Refusal::configuration(signed_in(&url, "app", PASSWORD), &["user name or the password"]),
        Refusal::configuration(signed_in(&url, "nobody", PASSWORD), &["user name or the password"]),
        Refusal::configuration(at("locked"), &["locked the account"]).never(&["password"]),
        // Rights on the database, and the database.
        Refusal::configuration(on_database(&at("app"), "private"), &["may not use the database"])
            .never(&["table", "password"]),
        Refusal::configuration(on_database(&url, "missing"), &["no database of this name"]),
        // Settings.
        Refusal::configuration(format!("{url}?timezone=hunter"), &["setting of the session"]),
    ])
    .await;
    server.try_query("SET GLOBAL require_secure_transport = 1").unwrap();
    // MariaDB has no words of its own for it.
    Refusal::configuration(at("app"), &["encrypted connection", "require_secure_transport"])
        .hold()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_and_is_no_mysql_is_told_so() {
    let url = format!("mysql://user:{PASSWORD}@{}/db", stranger().await);
    Refusal::passing(url, &["cannot connect to mysql at 127.0.0.1:", "kind of server"])
        .hold()
        .await;
}

/// A server that says it is an old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_that_is_too_old_is_named_with_its_version() {
    for (version, needed) in [("5.7.44-log", "8.0 or later"), ("10.5.28-MariaDB", "10.6 or later")]
    {
        let server = SqlServer::builder(Product::MySql).without_fsync();
        let server = server.setting("version", version).start();
        let error = MySqlStorage::connect(server.url()).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
        let text = error.to_string();
        assert!(text.contains(version) && text.contains(needed), "{text}");
    }
}

/// Who may not make tables is told of that, and who may not use those that are there of this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_to_make_tables_and_to_use_them_are_told_apart() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    run(
        &server.url(),
        "CREATE DATABASE records;
         CREATE USER app@'%' IDENTIFIED BY 'password';
         CREATE USER app@localhost IDENTIFIED BY 'password';
         GRANT SELECT ON records.* TO app@'%';
         GRANT SELECT ON records.* TO app@localhost",
    );
    let url = on_database(&server.url(), "records");
    let app = signed_in(&url, "app", "password");
    let error = MySqlStorage::connect(&app).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("may not create or change the table") && text.contains("CREATE"),
        "{text}"
    );
    assert!(!text.contains("read and write"), "{text}");

    MySqlStorage::connect(&url).await.unwrap().migrate().await.unwrap();
    Refusal::configuration(app, &["the right to", "UPDATE"]).hold().await;
}
