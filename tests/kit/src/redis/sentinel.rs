//! A primary and its replicas under three Sentinels.

use std::{collections::HashMap, time::Duration};

use super::{
    RedisServer, RedisServerBuilder,
    options::{Kind, quote},
};
use crate::{tls::Authority, wait};

const MASTER_NAME: &str = "primary";
const SENTINELS: usize = 3;
const REPLICAS: usize = 2;

/// How long a failover may take: the Sentinels notice within a second, agree, and look every second whether it is done.
const PATIENCE: Duration = Duration::from_secs(60);

/// One primary, two replicas and three Sentinels, two of which must agree; dropping it stops them all.
#[derive(Debug)]
pub struct SentinelSetup {
    // Before the data servers, so that no failover begins while those are stopped.
    sentinels: Vec<RedisServer>,
    servers: Vec<RedisServer>,
}

impl SentinelSetup {
    /// Starts all six and waits until the Sentinels know each other and the replicas.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(RedisServer::builder())
    }

    /// Starts the primary and its replicas with these options.
    #[track_caller]
    pub fn start_with(options: RedisServerBuilder) -> Self {
        Self::start_under(RedisServer::builder(), options)
    }

    /// Starts all six with TLS, which they speak to each other.
    #[track_caller]
    pub fn start_with_tls(authority: &Authority) -> Self {
        Self::start_under(
            RedisServer::builder().tls(authority),
            RedisServer::builder().tls(authority),
        )
    }

    #[track_caller]
    fn start_under(sentinels: RedisServerBuilder, options: RedisServerBuilder) -> Self {
        let options = options.config("repl-ping-replica-period", "1");
        let primary = options.clone().start();
        let following = options.config("replicaof", &format!("127.0.0.1 {}", primary.peer_port()));
        let mut servers = vec![primary];
        servers.extend(following.start_many(REPLICAS));
        // The Sentinels ask the primary for its replicas at once.
        wait::until("the replicas follow", PATIENCE, || {
            let replication = servers[0].info("replication");
            let online = |field: &(&String, &String)| {
                field.0.starts_with("slave") && field.1.contains("state=online")
            };
            replication.iter().filter(online).count() == REPLICAS
        });
        let sentinels = start_sentinels(sentinels, &servers[0]);
        let setup = Self { sentinels, servers };
        setup.wait_until_settled(setup.servers[0].peer_port());
        setup
    }

    /// The addresses of the Sentinels.
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// The name by which the Sentinels know the primary.
    pub fn master_name(&self) -> &'static str {
        MASTER_NAME
    }

    /// A Sentinel by its number, 0 to 2.
    pub fn sentinel(&self, number: usize) -> &RedisServer {
        &self.sentinels[number]
    }

    /// A data server by its number, 0 to 2; the first one is the primary at the start.
    pub fn server(&self, number: usize) -> &RedisServer {
        &self.servers[number]
    }

    /// A data server by its number, to be killed and started again.
    pub fn server_mut(&mut self, number: usize) -> &mut RedisServer {
        &mut self.servers[number]
    }

    /// The number of the server that the Sentinels take for the primary.
    #[track_caller]
    pub fn primary_number(&self) -> usize {
        let address = self.sentinels[0].query::<Vec<String>>(&[
            "SENTINEL",
            "GET-MASTER-ADDR-BY-NAME",
            MASTER_NAME,
        ]);
        let position =
            self.servers.iter().position(|server| address[1] == server.peer_port().to_string());
        position.unwrap_or_else(|| panic!("the primary {address:?} is none of this setup"))
    }

    /// The server that the Sentinels take for the primary.
    #[track_caller]
    pub fn primary(&self) -> &RedisServer {
        &self.servers[self.primary_number()]
    }

    /// Has the Sentinels hand over to a replica. The old primary lives and becomes a replica, so it answers writes with `READONLY`; when this
    /// returns that is done. The number of the old primary.
    #[track_caller]
    pub fn fail_over(&self) -> usize {
        let old = self.primary_number();
        // The Sentinels refuse while they are still busy with the last failover.
        wait::until("a Sentinel begins the failover", PATIENCE, || {
            self.sentinels[0].try_query::<String>(&["SENTINEL", "FAILOVER", MASTER_NAME]).is_ok()
        });
        self.wait_until_replaced(old);
        wait::until("the old primary is a replica", PATIENCE, || {
            self.servers[old].role() == "slave"
        });
        old
    }

    /// Kills the primary and waits until the Sentinels have replaced it; the number of the killed server.
    #[track_caller]
    pub fn kill_primary(&mut self) -> usize {
        let old = self.primary_number();
        self.servers[old].kill();
        self.wait_until_replaced(old);
        old
    }

    /// Waits until every Sentinel names a primary other than `old`, and it and its replicas agree.
    #[track_caller]
    fn wait_until_replaced(&self, old: usize) {
        let mut new = None;
        wait::until("the Sentinels name a new primary", PATIENCE, || {
            let named: Vec<_> = self.sentinels.iter().map(named_port).collect();
            new.clone_from(&named[0]);
            new.is_some()
                && named.iter().all(|port| *port == new)
                && new != Some(self.servers[old].peer_port().to_string())
        });
        let is_new = |server: &&RedisServer| Some(server.peer_port().to_string()) == new;
        let primary = self.servers.iter().find(is_new).expect("the new primary is of this setup");
        wait::until("the new primary takes writes", PATIENCE, || primary.role() == "master");
    }

    /// Waits until every Sentinel takes the server at `port` for a healthy primary, and knows the others.
    #[track_caller]
    fn wait_until_settled(&self, port: u16) {
        let (port, replicas) = (port.to_string(), REPLICAS.to_string());
        let others = (SENTINELS - 1).to_string();
        let expected = [
            ("port", port.as_str()),
            ("flags", "master"),
            ("num-slaves", &replicas),
            ("num-other-sentinels", &others),
        ];
        wait::until("the Sentinels know each other and the replicas", PATIENCE, || {
            self.sentinels.iter().all(|sentinel| {
                let known = sentinel
                    .try_query::<HashMap<String, String>>(&["SENTINEL", "MASTER", MASTER_NAME])
                    .unwrap_or_default();
                expected
                    .iter()
                    .all(|(field, value)| known.get(*field).is_some_and(|known| known == value))
            })
        });
    }
}

#[track_caller]
fn start_sentinels(options: RedisServerBuilder, primary: &RedisServer) -> Vec<RedisServer> {
    let quorum = SENTINELS / 2 + 1;
    let monitor = format!("monitor {MASTER_NAME} 127.0.0.1 {} {quorum}", primary.peer_port());
    let mut options = options
        .of_kind(Kind::Sentinel)
        .config("sentinel", &monitor)
        .config("sentinel", &format!("down-after-milliseconds {MASTER_NAME} 1000"))
        .config("sentinel", &format!("failover-timeout {MASTER_NAME} 4000"))
        .config("sentinel", &format!("parallel-syncs {MASTER_NAME} {REPLICAS}"));
    if let Some(password) = primary.password() {
        let auth = format!("auth-pass {MASTER_NAME} {}", quote(password));
        options = options.config("sentinel", &auth);
    }
    let sentinels = options.start_many(SENTINELS);
    for sentinel in &sentinels {
        // They leave an old primary alone until it has ignored four announcements, which by default are two seconds apart.
        sentinel.command(&["SENTINEL", "DEBUG", "INFO-PERIOD", "500", "PUBLISH-PERIOD", "200"]);
    }
    sentinels
}

fn named_port(sentinel: &RedisServer) -> Option<String> {
    let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME];
    let address = sentinel.try_query::<Vec<String>>(&command).ok()?;
    address.into_iter().nth(1)
}
