//! The servers of a backend, and what is done to them.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use idem_runtime::storage::{MySqlStorage, PostgresStorage};
use tempfile::TempDir;
use testkit::redis::{ClusterSetup, RedisServer, SentinelSetup};
use testkit::sql::{Product, SqlServer};
use testkit::wait;

use crate::backend::Backend;

/// How long servers may take to agree again, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Servers of a backend.
#[derive(Debug)]
pub enum Setup {
    /// One Redis.
    Redis(RedisServer),
    /// A primary with replicas and Sentinels.
    Sentinel(SentinelSetup),
    /// Masters with replicas.
    Cluster(ClusterSetup),
    /// A database server, and the address of the database in it.
    Sql(SqlServer, String),
    /// A folder with a file.
    Sqlite(TempDir),
}

impl Setup {
    /// Starts them.
    pub fn start(backend: Backend) -> Self {
        match backend {
            Backend::Redis => Self::Redis(RedisServer::builder().append_only("always").start()),
            Backend::RedisVolatile => Self::Redis(RedisServer::start()),
            Backend::Sentinel => Self::Sentinel(SentinelSetup::start_with(
                RedisServer::builder().append_only("everysec"),
            )),
            Backend::Cluster => Self::Cluster(ClusterSetup::start_with(
                RedisServer::builder().append_only("everysec"),
                3,
                1,
            )),
            Backend::Postgres => Self::start_sql(Product::Postgres),
            Backend::MySql => Self::start_sql(Product::MySql),
            Backend::Sqlite => Self::Sqlite(TempDir::new().expect("a folder can be made")),
        }
    }

    fn start_sql(product: Product) -> Self {
        let server = SqlServer::start(product);
        let url = server.new_database();
        let migrate = async {
            match product {
                Product::Postgres => PostgresStorage::connect(&url).await?.migrate().await,
                Product::MySql => MySqlStorage::connect(&url).await?.migrate().await,
            }
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
        runtime.block_on(migrate).expect("the tables can be made");
        Self::Sql(server, url)
    }

    /// The storage's address.
    pub fn url(&self) -> String {
        let hosts = |urls: Vec<String>| {
            let hosts = urls
                .iter()
                .map(|url| url.trim_start_matches("redis://").trim_end_matches('/').to_owned());
            hosts.collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Redis(server) => server.url(),
            Self::Sentinel(setup) => {
                format!("redis-sentinel://{}/{}", hosts(setup.sentinel_urls()), setup.master_name())
            }
            Self::Cluster(cluster) => format!("redis-cluster://{}", hosts(cluster.urls())),
            Self::Sql(_, url) => url.clone(),
            Self::Sqlite(dir) => format!("sqlite://{}", dir.path().join("records.db").display()),
        }
    }

    /// The port of the one server that clients talk to, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Redis(server) => Some(server.port()),
            Self::Sql(server, _) => Some(server.port()),
            Self::Sentinel(_) | Self::Cluster(_) | Self::Sqlite(_) => None,
        }
    }

    /// Kills the server, and starts it again on its data after a while.
    pub fn crash(&mut self, down: Duration) {
        match self {
            Self::Redis(server) => {
                server.kill();
                sleep(down);
                server.start_again();
            }
            Self::Sql(server, _) => {
                server.stop_immediately();
                sleep(down);
                server.start_again();
            }
            Self::Sentinel(_) | Self::Cluster(_) | Self::Sqlite(_) => {
                panic!("there is no single server to crash")
            }
        }
    }

    /// Stops the server; behind Sentinel and in a Cluster one that is a primary, and for as long as given, because others notice.
    pub fn stop(&mut self, rng: &mut Rng, duration: Duration) {
        match self {
            Self::Redis(server) => server.pause(),
            Self::Sql(server, _) => server.pause(),
            Self::Sentinel(setup) => {
                let primary = setup.primary();
                primary.pause();
                sleep(duration);
                primary.resume();
                settle_sentinel(setup);
            }
            Self::Cluster(cluster) => {
                let primary = cluster.node(cluster.owner_of(rng.u16(..16_384)));
                primary.pause();
                sleep(duration);
                primary.resume();
                settle_cluster(cluster);
            }
            Self::Sqlite(_) => panic!("there is no server to stop"),
        }
    }

    /// Continues a single server.
    pub fn resume(&mut self) {
        match self {
            Self::Redis(server) => server.resume(),
            Self::Sql(server, _) => server.resume(),
            Self::Sentinel(_) | Self::Cluster(_) | Self::Sqlite(_) => {}
        }
    }

    /// Has a primary replaced: told to hand over, or killed. When this returns the old one is back as a replica.
    pub fn fail_over(&mut self, rng: &mut Rng) {
        match self {
            Self::Sentinel(setup) => {
                if rng.bool() {
                    setup.fail_over();
                } else {
                    let old = setup.kill_primary();
                    setup.server_mut(old).start_again();
                }
                settle_sentinel(setup);
            }
            Self::Cluster(cluster) => {
                let old = cluster.fail_over(rng.u16(..16_384));
                cluster.node_mut(old).start_again();
                settle_cluster(cluster);
            }
            Self::Redis(_) | Self::Sql(..) | Self::Sqlite(_) => {
                panic!("there is nobody to take over")
            }
        }
    }

    /// Leaves the server no room.
    pub fn fill(&mut self) {
        match self {
            Self::Redis(server) => drop(server.command(&["CONFIG", "SET", "maxmemory", "1"])),
            Self::Sql(server, _) => server.limit_files(4096),
            Self::Sentinel(_) | Self::Cluster(_) | Self::Sqlite(_) => {
                panic!("there is no single server to fill")
            }
        }
    }

    /// Gives it room again, and starts it if the lack of it was its end.
    pub fn empty(&mut self) {
        match self {
            Self::Redis(server) => drop(server.command(&["CONFIG", "SET", "maxmemory", "0"])),
            Self::Sql(server, _) => {
                server.unlimit_files();
                if server.is_running() && server.try_query("SELECT 1").is_err() {
                    // What it has started meanwhile has its limit from before.
                    server.kill();
                }
                if !server.is_running() {
                    server.start_again();
                }
            }
            Self::Sentinel(_) | Self::Cluster(_) | Self::Sqlite(_) => {}
        }
    }
}

/// How long things have to stay as they are to be taken for settled.
const CALM: Duration = Duration::from_millis(700);

/// Waits until `condition` has held for a while.
fn wait_until_it_stays(what: &str, condition: impl Fn() -> bool) {
    wait::until(what, PATIENCE, || {
        condition() && {
            sleep(CALM);
            condition()
        }
    });
}

/// Waits until one server is the primary, by its own and the Sentinels' account, the others follow it, and no Sentinel is about to replace it.
fn settle_sentinel(setup: &SentinelSetup) {
    let servers = [0, 1, 2].map(|number| setup.server(number));
    wait_until_it_stays("the servers and Sentinels agree", || {
        let primaries: Vec<_> = servers.iter().filter(|server| server.role() == "master").collect();
        let [primary] = primaries[..] else { return false };
        let follow = servers.iter().filter(|server| follows(server, primary.port())).count();
        let port = primary.port().to_string();
        follow == 2
            && (0..3)
                .all(|sentinel| is_content(setup.sentinel(sentinel), setup.master_name(), &port))
    });
}

/// Whether a Sentinel takes the server at this port for a primary in good health.
fn is_content(sentinel: &RedisServer, name: &str, port: &str) -> bool {
    let known = sentinel.try_query::<HashMap<String, String>>(&["SENTINEL", "MASTER", name]);
    let known = known.unwrap_or_default();
    let is = |field: &str, value: &str| known.get(field).is_some_and(|found| found == value);
    // The flags also say when it is taken to be down, or is being replaced.
    is("port", port) && is("flags", "master")
}

fn follows(server: &RedisServer, primary: u16) -> bool {
    let replication = server.info("replication");
    let is = |field: &str, value: &str| {
        replication.get(field).is_some_and(|found| found.trim() == value)
    };
    is("role", "slave") && is("master_port", &primary.to_string()) && is("master_link_status", "up")
}

/// Waits until every node knows three masters and three replicas, and the replicas have what their masters have.
fn settle_cluster(cluster: &ClusterSetup) {
    let nodes: Vec<_> = (0..cluster.node_count()).map(|number| cluster.node(number)).collect();
    wait_until_it_stays("the cluster is whole", || {
        let ok = |node: &&RedisServer| {
            let info: String = node.try_query(&["CLUSTER", "INFO"]).unwrap_or_default();
            info.contains("cluster_state:ok") && info.contains("cluster_slots_fail:0")
        };
        let is_up = |node: &&&RedisServer| {
            let replication = node.info("replication");
            replication.get("master_link_status").is_some_and(|status| status.trim() == "up")
        };
        let seen = |node: &&RedisServer| {
            let nodes: String = node.try_query(&["CLUSTER", "NODES"]).unwrap_or_default();
            let healthy = |line: &&str| !line.contains("fail") && !line.contains("disconnected");
            nodes.lines().filter(healthy).count() == cluster.node_count()
        };
        nodes.iter().all(ok)
            && nodes.iter().all(seen)
            && nodes.iter().filter(is_up).count() == cluster.node_count() / 2
    });
}
