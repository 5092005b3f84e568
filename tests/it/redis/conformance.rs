//! The published conformance suite on real servers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use idem_runtime::key::RecordKey;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::RedisStorage;
use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted, Opened};
use testkit::proxy::{FaultProxy, Loss};
use testkit::redis::{ClusterSetup, RedisServer, SentinelSetup};

use super::{connect, redis_key};

/// A storage, and a way past it to the server that holds a key.
struct OnServers {
    storage: RedisStorage,
    url_of: Box<dyn Fn(&str) -> String + Send + Sync>,
    /// Connects as another process does.
    connect: Connect,
    /// What lies between storage and server, where there is but one.
    proxy: Option<FaultProxy>,
}

impl OnServers {
    /// Changes the bytes of a record and nothing else.
    fn damage(&self, key: &RecordKey, damage: impl FnOnce(&mut Vec<u8>)) -> Inflicted {
        let key = redis_key(key);
        let client = redis::Client::open((self.url_of)(&key)).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut bytes: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
        damage(&mut bytes);
        redis::cmd("SET").arg(&key).arg(bytes).arg("KEEPTTL").exec(&mut connection).unwrap();
        Inflicted::Done
    }

    fn lose(&self, lose: impl FnOnce(&FaultProxy)) -> Inflicted {
        let Some(proxy) = &self.proxy else {
            return Inflicted::Unsupported("the client is told the addresses of the servers");
        };
        lose(proxy);
        Inflicted::Done
    }
}

impl Harness for OnServers {
    type Storage = RedisStorage;

    fn storage(&self) -> &RedisStorage {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        let client = redis::Client::open((self.url_of)("any")).unwrap();
        let mut connection = client.get_connection().unwrap();
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut connection).unwrap();
        Timestamp::from_millis(seconds * 1000 + micros / 1000)
    }

    async fn elapse(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn clock_is_exact(&self) -> bool {
        false
    }

    fn expires_by_itself(&self) -> bool {
        true
    }

    async fn second(&self) -> Opened<RedisStorage> {
        Opened::Done((self.connect)().await)
    }

    async fn reopen(self) -> Opened<Self> {
        let storage = (self.connect)().await;
        Opened::Done(Self { storage, ..self })
    }

    async fn inflict(&self, harm: Harm<'_>) -> Inflicted {
        match harm {
            Harm::Garbage(key) => self.damage(key, |bytes| *bytes = b"{\"done\":true}".to_vec()),
            Harm::Truncated(key) => self.damage(key, |bytes| bytes.truncate(bytes.len() - 1)),
            Harm::NewerVersion(key) => self.damage(key, |bytes| bytes[0] += 1),
            Harm::NextRequestLost => self.lose(|proxy| proxy.drop_requests(Loss::next(1))),
            // A command that was refused has not arrived, and one that was not has been carried out.
            Harm::NextCommitFails => Inflicted::Unsupported("a server has no commits"),
            Harm::NextReplyLost => self.lose(|proxy| proxy.drop_replies(Loss::next(1))),
            _ => Inflicted::Unsupported("not known here"),
        }
    }
}

type Connect = Arc<dyn Fn() -> BoxFuture<'static, RedisStorage> + Send + Sync>;

fn connecting<F: Future<Output = RedisStorage> + Send + 'static>(
    connect: impl Fn() -> F + Send + Sync + 'static,
) -> Connect {
    Arc::new(move || Box::pin(connect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_single_server_conforms() {
    let server = RedisServer::start();
    let report = conformance::run(async || {
        let proxy = FaultProxy::start(("127.0.0.1", server.port()));
        let storage = connect(&proxy.url()).await;
        let (url, again) = (server.url(), server.url());
        let connect = connecting(move || {
            let url = again.clone();
            async move { connect(&url).await }
        });
        OnServers { storage, url_of: Box::new(move |_| url.clone()), connect, proxy: Some(proxy) }
    });
    report.await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_behind_sentinels_conforms() {
    let setup = Arc::new(SentinelSetup::start());
    let builder = RedisStorage::sentinel(setup.sentinel_urls(), setup.master_name());
    let storage = builder.connect().await.unwrap();
    let url = setup.primary().url();
    let sentinels = Arc::clone(&setup);
    let connect = connecting(move || {
        let builder = RedisStorage::sentinel(sentinels.sentinel_urls(), sentinels.master_name());
        async move { builder.connect().await.unwrap() }
    });
    let report = conformance::run(async || {
        let (url, connect) = (url.clone(), Arc::clone(&connect));
        let url_of = Box::new(move |_: &str| url.clone());
        OnServers { storage: storage.clone(), url_of, connect, proxy: None }
    });
    report.await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_conforms() {
    let cluster = Arc::new(ClusterSetup::start());
    let storage = RedisStorage::cluster(cluster.urls()).connect().await.unwrap();
    let nodes = Arc::clone(&cluster);
    let connect = connecting(move || {
        let nodes = Arc::clone(&nodes);
        async move { RedisStorage::cluster(nodes.urls()).connect().await.unwrap() }
    });
    let report = conformance::run(async || {
        let (cluster, connect) = (Arc::clone(&cluster), Arc::clone(&connect));
        let url_of = move |key: &str| cluster.node(cluster.owner_of(cluster.slot_of(key))).url();
        OnServers { storage: storage.clone(), url_of: Box::new(url_of), connect, proxy: None }
    });
    report.await.assert_passed();
}
