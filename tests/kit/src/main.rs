//! Starts the testkit's servers to play with: `cargo run -p testkit -- redis`.
#![allow(clippy::print_stdout, clippy::panic, reason = "a program to be used by hand")]

use std::io::Read;

use testkit::{
    ledger::Ledger,
    nats::NatsServer,
    redis::{ClusterSetup, RedisServer, SentinelSetup},
    sql::{Product, SqlServer},
};

const USAGE: &str =
    "usage: testkit redis                     start a server until standard input ends
       testkit sentinel                  start a primary, two replicas and three Sentinels
       testkit cluster                   start three masters and three replicas
       testkit postgres                  start Postgres
       testkit mysql                     start MariaDB or MySQL
       testkit nats                      start NATS with JetStream
       testkit record LEDGER KEY TIMES   append executions to a ledger";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["redis"] => {
            let server = RedisServer::start();
            println!("{} {}", server.url(), server.pid());
            wait_for_end_of_input();
        }
        ["sentinel"] => {
            let setup = SentinelSetup::start();
            println!("{} {}", setup.master_name(), setup.sentinel_urls().join(" "));
            wait_for_end_of_input();
        }
        ["cluster"] => {
            let cluster = ClusterSetup::start_with_replicas();
            println!("{}", cluster.urls().join(" "));
            wait_for_end_of_input();
        }
        ["postgres"] => serve(Product::Postgres),
        ["mysql"] => serve(Product::MySql),
        ["nats"] => {
            let server = NatsServer::start();
            println!("{} {}", server.url(), server.pid());
            wait_for_end_of_input();
        }
        ["record", ledger, key, times] => {
            let times: usize = times.parse().unwrap_or_else(|_| panic!("{USAGE}"));
            let ledger = Ledger::open(ledger);
            (0..times).for_each(|time| ledger.start(key, "").finish(&time.to_string()));
        }
        _ => println!("{USAGE}"),
    }
}

fn serve(product: Product) {
    let server = SqlServer::start(product);
    println!("{} {}", server.url(), server.pid());
    wait_for_end_of_input();
}

/// Returning drops the servers, which stops them.
fn wait_for_end_of_input() {
    // An input that cannot be read has ended as well.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
