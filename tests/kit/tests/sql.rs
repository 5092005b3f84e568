//! Postgres and MariaDB.

use std::{net::TcpStream, path::Path, thread, time::Duration};

use sqlx::Error;
use testkit::{
    proxy::FaultProxy,
    sql::{Product, SqlServer, shared},
};

/// Makes a test on each product of each function named.
macro_rules! on_each_product {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[test]
            fn $name() {
                super::$name(super::Product::Postgres);
            })*
        }

        mod mysql {
            $(#[test]
            fn $name() {
                super::$name(super::Product::MySql);
            })*
        }
    };
}

on_each_product!(
    a_killed_server_has_its_committed_data_after_a_restart,
    a_paused_server_answers_nothing_until_it_is_resumed,
    a_restarted_server_has_its_port_and_data,
    a_server_can_be_reached_through_a_proxy,
    a_server_that_is_stopped_at_once_has_its_committed_data_after_a_restart,
    a_server_without_room_takes_no_more_until_it_has_some,
    a_setting_reaches_the_server,
    commits_wait_for_the_disk_unless_told_otherwise,
    databases_of_a_shared_server_are_apart,
    dropping_a_server_stops_it_and_removes_its_folder,
    servers_started_at_once_are_apart,
    wrong_credentials_are_refused,
);

fn data_of(server: &SqlServer, product: Product) -> String {
    server.query(match product {
        Product::Postgres => "SHOW data_directory",
        Product::MySql => "SELECT @@datadir",
    })
}

fn dropping_a_server_stops_it_and_removes_its_folder(product: Product) {
    let server = SqlServer::start(product);
    let (dir, port) = (data_of(&server, product), server.port());
    assert!(Path::new(&dir).is_dir());
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!Path::new(&dir).exists());
}

fn servers_started_at_once_are_apart(product: Product) {
    let start = |_| thread::spawn(move || SqlServer::builder(product).without_fsync().start());
    let starts: Vec<_> = (0..3).map(start).collect();
    let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    for server in &servers {
        server.query("CREATE TABLE only_here (id int)");
    }
}

fn a_restarted_server_has_its_port_and_data(product: Product) {
    let mut server = SqlServer::start(product);
    let (url, pid) = (server.url(), server.pid());
    server.query("CREATE TABLE words (word text)");
    server.query("INSERT INTO words VALUES ('hello')");
    server.restart();
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    assert_eq!(server.query("SELECT * FROM words"), "hello");
}

fn a_killed_server_has_its_committed_data_after_a_restart(product: Product) {
    let mut server = SqlServer::builder(product).without_fsync().start();
    server.query("CREATE TABLE words (word text)");
    for round in 0..3 {
        server.query(&format!("INSERT INTO words VALUES ('{round}')"));
        thread::scope(|scope| {
            let busy = scope
                .spawn(|| server.try_query("BEGIN; INSERT INTO words VALUES ('lost'); SELECT 1"));
            busy.join().unwrap().unwrap();
        });
        server.kill();
        assert!(server.try_query("SELECT 1").is_err());
        server.start_again();
    }
    assert_eq!(server.query("SELECT * FROM words ORDER BY word"), "0\n1\n2");
}

fn a_server_that_is_stopped_at_once_has_its_committed_data_after_a_restart(product: Product) {
    let mut server = SqlServer::start(product);
    server.query("CREATE TABLE kept AS SELECT 7 AS number");
    server.stop_immediately();
    assert!(!server.is_running());
    server.start_again();
    assert_eq!(server.query("SELECT number FROM kept"), "7");
    if product == Product::Postgres {
        assert!(
            server.log().contains("database system was not properly shut down"),
            "{}",
            server.log()
        );
    }
}

fn a_server_without_room_takes_no_more_until_it_has_some(product: Product) {
    let mut server = SqlServer::start(product);
    server.query("CREATE TABLE kept AS SELECT 7 AS number");
    server.limit_files(4096);
    let write = "INSERT INTO kept SELECT 8";
    assert!(server.try_query(write).is_err(), "there was room");
    server.unlimit_files();
    // Not being able to write its log is the end of it, or of what it has started meanwhile.
    server.stop_immediately();
    server.start_again();
    server.query(write);
    assert_eq!(server.query("SELECT min(number), max(number) FROM kept"), "7\t8");
}

fn a_paused_server_answers_nothing_until_it_is_resumed(product: Product) {
    let server = SqlServer::start(product);
    server.pause();
    thread::scope(|scope| {
        let asked = scope.spawn(|| server.query("SELECT 7"));
        thread::sleep(Duration::from_millis(200));
        assert!(!asked.is_finished());
        server.resume();
        assert_eq!(asked.join().unwrap(), "7");
    });
}

fn a_server_can_be_reached_through_a_proxy(product: Product) {
    let server = SqlServer::start(product);
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    assert_eq!(testkit::sql::query(&proxy.before(&server.url()), "SELECT 7").unwrap(), "7");
    proxy.refuse();
    assert!(testkit::sql::query(&proxy.before(&server.url()), "SELECT 7").is_err());
}

fn a_setting_reaches_the_server(product: Product) {
    let server = SqlServer::builder(product).setting("max_connections", "77").start();
    let ask = match product {
        Product::Postgres => "SHOW max_connections",
        Product::MySql => "SELECT @@max_connections",
    };
    assert_eq!(server.query(ask), "77");
}

fn commits_wait_for_the_disk_unless_told_otherwise(product: Product) {
    let (ask, durable) = match product {
        Product::Postgres => ("SHOW fsync", "on"),
        Product::MySql => ("SELECT @@innodb_flush_log_at_trx_commit", "1"),
    };
    assert_eq!(SqlServer::start(product).query(ask), durable);
    assert_ne!(SqlServer::builder(product).without_fsync().start().query(ask), durable);
}

fn databases_of_a_shared_server_are_apart(product: Product) {
    for url in [shared(product).new_database(), shared(product).new_database()] {
        testkit::sql::query(&url, "CREATE TABLE only_here (id int)").unwrap();
    }
}

fn wrong_credentials_are_refused(product: Product) {
    let server = SqlServer::start(product);
    let mut wrong = url::Url::parse(&server.url()).unwrap();
    wrong.set_password(Some("guess")).unwrap();
    let error = testkit::sql::query(wrong.as_str(), "SELECT 1").unwrap_err();
    // MySQL asks for an encrypted connection before it says anything.
    assert!(matches!(error, Error::Database(_) | Error::Configuration(_)), "{error}");
}
