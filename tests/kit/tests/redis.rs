//! A standalone server.

use std::{collections::HashSet, net::TcpStream, path::Path, thread, time::Duration};

use testkit::redis::{RedisServer, shared};

fn ping(url: &str) -> redis::RedisResult<String> {
    let mut connection =
        redis::Client::open(url)?.get_connection_with_timeout(Duration::from_millis(500))?;
    connection.set_read_timeout(Some(Duration::from_millis(200)))?;
    redis::cmd("PING").query(&mut connection)
}

#[test]
fn a_server_answers_over_tcp_and_over_its_unix_socket() {
    let server = RedisServer::start();
    assert_eq!(ping(&server.url()).unwrap(), "PONG");
    assert_eq!(ping(&server.unix_url()).unwrap(), "PONG");
}

#[test]
fn dropping_a_server_stops_it_and_removes_its_folder() {
    let server = RedisServer::start();
    let dir = server.command(&["CONFIG", "GET", "dir"]).lines().last().unwrap().to_owned();
    let port = server.port();
    assert!(Path::new(&dir).is_dir());
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!Path::new(&dir).exists());
}

#[test]
fn servers_started_at_once_are_apart() {
    let start = |_| thread::spawn(RedisServer::start);
    let starts: Vec<_> = (0..8).map(start).collect();
    let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    for server in &servers {
        assert_eq!(server.command(&["INCR", "counter"]), "1");
    }
    assert_eq!(servers.iter().map(RedisServer::port).collect::<HashSet<_>>().len(), 8);
}

#[test]
fn a_restarted_server_has_its_port_and_nothing_else() {
    let mut server = RedisServer::start();
    let (url, pid) = (server.url(), server.pid());
    server.command(&["SET", "key", "value"]);
    server.restart();
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    assert_eq!(server.command(&["GET", "key"]), "");
}

#[test]
fn an_append_only_server_keeps_its_data_over_a_crash_until_told_to_lose_it() {
    let mut server = RedisServer::builder().append_only("always").start();
    server.command(&["SET", "key", "value"]);
    server.kill();
    assert!(ping(&server.url()).is_err());
    server.start_again();
    assert_eq!(server.command(&["GET", "key"]), "value");
    server.restart_empty();
    assert_eq!(server.command(&["GET", "key"]), "");
}

#[test]
fn a_snapshotting_server_keeps_its_data_over_a_graceful_stop() {
    let mut server = RedisServer::builder().config("save", "3600 1").start();
    server.command(&["SET", "key", "value"]);
    server.stop_gracefully();
    server.start_again();
    assert_eq!(server.command(&["GET", "key"]), "value");
}

#[test]
fn a_paused_server_answers_nothing() {
    let server = RedisServer::start();
    server.pause();
    assert!(ping(&server.url()).unwrap_err().is_timeout());
    server.resume();
    assert_eq!(ping(&server.url()).unwrap(), "PONG");
}

#[test]
fn a_password_is_asked_for_and_is_in_the_urls() {
    let server = RedisServer::builder().password(r#"p@ss "w:o/r\d#%"#).start();
    assert_eq!(ping(&server.url()).unwrap(), "PONG");
    assert_eq!(ping(&server.unix_url()).unwrap(), "PONG");
    let anonymous = format!("redis://127.0.0.1:{}/", server.port());
    assert_eq!(ping(&anonymous).unwrap_err().code(), Some("NOAUTH"));
}

#[test]
fn a_full_server_refuses_writes() {
    let server = RedisServer::builder().max_memory("1").start();
    let refused = server.try_query::<String>(&["SET", "key", "value"]).unwrap_err();
    assert_eq!(refused.code(), Some("OOM"));
}

#[test]
fn replies_of_every_kind_become_text() {
    let server = RedisServer::start();
    assert_eq!(server.command(&["SET", "key", "value"]), "OK");
    assert_eq!(server.command(&["RPUSH", "list", "a", "b"]), "2");
    assert_eq!(server.command(&["LRANGE", "list", "0", "-1"]), "a\nb");
    assert_eq!(server.command(&["TYPE", "list"]), "list");
    assert_eq!(server.command(&["GET", "missing"]), "");
}

#[test]
#[should_panic(expected = "Bad directive")]
fn a_server_that_does_not_start_says_why() {
    RedisServer::builder().config("no-such-option", "1").start();
}

#[test]
#[should_panic(expected = "there is no program /no/such/redis-server")]
fn a_missing_program_is_named() {
    RedisServer::builder().binary("/no/such/redis-server").start();
}

#[test]
fn the_shared_server_is_the_same_for_all() {
    let key = "testkit:shared";
    shared().command(&["SET", key, "value"]);
    assert_eq!(thread::spawn(move || shared().command(&["GETDEL", key])).join().unwrap(), "value");
}
