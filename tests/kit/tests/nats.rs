//! NATS.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use testkit::nats::NatsServer;

/// Says one line after the greeting and gives the first answer, without a client.
fn say(server: &NatsServer, line: &str) -> String {
    let address = server.url().replace("nats://", "");
    let mut connection = TcpStream::connect(address).unwrap();
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("INFO "));
    connection.write_all(line.as_bytes()).unwrap();
    lines.next().unwrap().unwrap()
}

#[test]
fn a_server_answers_again_after_it_was_killed() {
    let mut server = NatsServer::start();
    let hello = "CONNECT {\"verbose\":true}\r\nPING\r\n";
    assert_eq!(say(&server, hello), "+OK");
    server.kill();
    assert!(TcpStream::connect(server.url().replace("nats://", "")).is_err());
    server.start_again();
    assert_eq!(say(&server, hello), "+OK");
    server.stop_gracefully();
    server.start_again();
    assert_eq!(say(&server, hello), "+OK");
}

#[test]
fn servers_started_at_once_are_apart() {
    let starts: Vec<_> = (0..3).map(|_| std::thread::spawn(NatsServer::start)).collect();
    let servers: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    let mut urls: Vec<_> = servers.iter().map(NatsServer::url).collect();
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 3);
}
