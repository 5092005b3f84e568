//! What a pooler before Postgres refuses in its place.

use std::fs;

use testkit::sql::{PgBouncer, Product, SqlServer};
use testkit::tls::Authority;

use super::{PASSWORD, Refusal, hold_all, on_database, signed_in};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_a_pooler_refuses_says_why() {
    let mut server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let pooler = PgBouncer::before(&server, 2);
    let url = pooler.url();
    hold_all(vec![
        Refusal::configuration(signed_in(&url, "nobody", PASSWORD), &["user name or the password"]),
        Refusal::configuration(
            signed_in(&url, "postgres", PASSWORD),
            &["user name or the password"],
        ),
        Refusal::configuration(on_database(&url, "missing"), &["no database of this name"])
            .never(&["server is shutting down"]),
    ])
    .await;
    server.kill();
    Refusal::passing(url, &[]).hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_takes_encrypted_connections_alone_says_so() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let identity = authority.issue();
    let file = |name: &str, pem: &str| {
        let path = dir.path().join(name);
        fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (file("c.pem", &identity.certificate), file("k.pem", &identity.key));
    let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
    fs::set_permissions(dir.path(), open(0o755)).unwrap();
    fs::set_permissions(&key, open(0o644)).unwrap();
    let pooler = PgBouncer::with_settings(
        &server,
        2,
        &format!(
            "client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n"
        ),
    );
    let url = pooler.url();
    Refusal::configuration(url, &["encrypted", "sslmode", "TLS feature"])
        .never(&["password", "server is shutting down"])
        .hold()
        .await;
}
