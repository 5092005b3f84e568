//! Each fault of the proxy, as a Redis client sees it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use redis::{Connection, RedisError, RedisResult};
use testkit::{
    proxy::{FaultProxy, Loss},
    redis::RedisServer,
    wait,
};

const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

fn proxied() -> (RedisServer, FaultProxy) {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    (server, proxy)
}

fn connect(proxy: &FaultProxy) -> RedisResult<Connection> {
    let connection = redis::Client::open(proxy.url())?.get_connection_with_timeout(LIMIT)?;
    connection.set_read_timeout(Some(LIMIT))?;
    Ok(connection)
}

fn increment(connection: &mut Connection, key: &str) -> RedisResult<i64> {
    redis::cmd("INCR").arg(key).query(connection)
}

fn is_cut(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout()
}

#[test]
fn without_faults_everything_passes() {
    let (server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    assert_eq!(increment(&mut connection, "counter").unwrap(), 1);
    let large = "x".repeat(3 << 20);
    let () = redis::cmd("SET").arg("large").arg(&large).query(&mut connection).unwrap();
    let back: String = redis::cmd("GET").arg("large").query(&mut connection).unwrap();
    assert!(back == large, "a large value came back changed");
    assert_eq!(server.command(&["GET", "counter"]), "1");

    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.open), (1, 1));
    assert_eq!((counts.dropped_requests, counts.dropped_replies), (0, 0));
    assert!(counts.requests >= 3 && counts.replies >= 3, "{counts:?}");
    drop(connection);
    wait::until("the connection is closed", LIMIT, || proxy.counts().open == 0);
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_replies() {
    let (_server, proxy) = proxied();
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "+PONG\r\n");
}

#[test]
fn cut_closes_what_is_open_and_nothing_else() {
    let (_server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    proxy.cut();
    assert_eq!(proxy.counts().open, 0);
    assert!(is_cut(&increment(&mut connection, "counter").unwrap_err()));
    assert_eq!(increment(&mut connect(&proxy).unwrap(), "counter").unwrap(), 1);
}

#[test]
fn refuse_keeps_new_connections_out_until_accept() {
    let (_server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    proxy.refuse();
    assert!(connect(&proxy).err().unwrap().is_connection_refusal());
    assert_eq!(increment(&mut connection, "counter").unwrap(), 1);
    proxy.accept();
    assert_eq!(increment(&mut connect(&proxy).unwrap(), "counter").unwrap(), 2);
}

#[test]
fn delay_holds_replies_back_until_healed() {
    let (server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    proxy.delay(SHORT);
    let start = Instant::now();
    increment(&mut connection, "counter").unwrap();
    assert!(start.elapsed() >= SHORT);

    proxy.heal();
    proxy.delay_requests(LIMIT);
    connection.set_read_timeout(Some(SHORT)).unwrap();
    assert!(increment(&mut connection, "counter").unwrap_err().is_timeout());
    assert_eq!(server.command(&["GET", "counter"]), "1");

    proxy.heal();
    let start = Instant::now();
    assert_eq!(increment(&mut connect(&proxy).unwrap(), "counter").unwrap(), 2);
    assert!(start.elapsed() < LIMIT);
}

#[test]
fn a_request_whose_reply_is_dropped_took_effect() {
    let (server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    proxy.drop_replies(1);
    assert!(is_cut(&increment(&mut connection, "counter").unwrap_err()));
    assert_eq!(server.command(&["GET", "counter"]), "1");
    assert_eq!(proxy.counts().dropped_replies, 1);
    assert_eq!(increment(&mut connect(&proxy).unwrap(), "counter").unwrap(), 2);
}

#[test]
fn a_dropped_request_took_no_effect() {
    let (server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    proxy.drop_requests(1);
    assert!(is_cut(&increment(&mut connection, "counter").unwrap_err()));
    assert_eq!(server.command(&["EXISTS", "counter"]), "0");
    assert_eq!(proxy.counts().dropped_requests, 1);
    assert_eq!(increment(&mut connect(&proxy).unwrap(), "counter").unwrap(), 1);
}

#[test]
fn a_hanging_loss_leaves_the_connection_open_and_silent() {
    for drop in [FaultProxy::drop_replies, FaultProxy::drop_requests] {
        let (_server, proxy) = proxied();
        let mut connection = connect(&proxy).unwrap();
        connection.set_read_timeout(Some(SHORT)).unwrap();
        drop(&proxy, Loss::next(1).hanging());
        assert!(increment(&mut connection, "counter").unwrap_err().is_timeout());
        assert_eq!(proxy.counts().open, 1);
        // Switching the faults off does not bring back what is lost.
        proxy.heal();
        assert_eq!(proxy.counts().open, 1);
        std::mem::drop(connection);
        wait::until("the connection is closed", LIMIT, || proxy.counts().open == 0);
    }
}

#[test]
fn a_loss_may_concern_some_requests_only() {
    let (server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    proxy.drop_replies(Loss::next(2).of_requests_with("INCR\r\n$5\r\nunsee"));
    proxy.drop_requests(Loss::next(1).of_requests(|request| request.ends_with(b"unsent\r\n")));
    assert_eq!(increment(&mut connection, "counter").unwrap(), 1);
    assert!(is_cut(&increment(&mut connection, "unsee").unwrap_err()));

    let mut connection = connect(&proxy).unwrap();
    assert_eq!(increment(&mut connection, "counter").unwrap(), 2);
    assert!(is_cut(&increment(&mut connection, "unsent").unwrap_err()));

    let mut connection = connect(&proxy).unwrap();
    assert!(is_cut(&increment(&mut connection, "unsee").unwrap_err()));

    let mut connection = connect(&proxy).unwrap();
    assert_eq!(increment(&mut connection, "unsee").unwrap(), 3);
    assert_eq!(server.command(&["EXISTS", "unsent"]), "0");
    assert_eq!((proxy.counts().dropped_replies, proxy.counts().dropped_requests), (2, 1));
}

#[test]
fn a_proxy_outlives_a_restart_of_its_server() {
    let (mut server, proxy) = proxied();
    let mut connection = connect(&proxy).unwrap();
    server.kill();
    assert!(is_cut(&increment(&mut connection, "counter").unwrap_err()));
    assert!(connect(&proxy).is_err());
    server.start_again();
    assert_eq!(increment(&mut connect(&proxy).unwrap(), "counter").unwrap(), 1);
}

/// Ends what runs beside a test, also where the test fails.
struct Beside<'a>(&'a AtomicBool);

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn it_accepts_again_while_processes_are_being_started() {
    // No server is behind it: what counts is that it listens again.
    let proxy = FaultProxy::start(("127.0.0.1", 9));
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        let _beside = Beside(&running);
        for _ in 0..4 {
            scope.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    // With a user of its own it is a copy of this process, sockets included, until it becomes another program.
                    let mut command = Command::new("true");
                    command.uid(nix::unistd::getuid().as_raw());
                    assert!(command.status().unwrap().success());
                }
            });
        }
        for _ in 0..300 {
            proxy.refuse();
            proxy.accept();
        }
    });
    TcpStream::connect(proxy.addr()).unwrap();
}
