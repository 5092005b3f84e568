//! A Redis Cluster. The client knows which node holds a key, follows slots that move, and keeps a
//! connection to each node.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crc16::{State, XMODEM};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use redis::aio::ConnectionLike;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    Cmd, ConnectionInfo, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, cmd,
};

use super::error::CommandError;
use super::link::{Connect, OnLost, RedisLink};
use super::rights;
use super::tls::Certificates;
use super::transport::{Node, Subscriber, Timeouts, Transport, within};
use crate::driver::Home;
use crate::storage::{StorageError, StorageErrorKind};

/// How often the client tries a command again, following slots that move and waiting for a cluster
/// that elects a primary.
const RETRIES: u32 = 8;

struct Cluster {
    link: RedisLink<ToCluster>,
}

/// Connects to the nodes of a cluster.
#[derive(Clone)]
struct ToCluster {
    client: ClusterClient,
    nodes: Vec<ConnectionInfo>,
    certificates: Certificates,
    timeouts: Timeouts,
    subscriber: Option<Arc<dyn Subscriber>>,
}

pub(super) fn transport(
    nodes: Vec<ConnectionInfo>,
    certificates: Certificates,
    timeouts: Timeouts,
) -> Result<Box<dyn Transport>, StorageError> {
    let client = builder(&nodes, &certificates, timeouts).build().map_err(|error| {
        StorageError::new(StorageErrorKind::Configuration, "the nodes of the cluster do not agree")
            .with_source(error)
    })?;
    let connect = ToCluster { client, nodes, certificates, timeouts, subscriber: None };
    Ok(Box::new(Cluster { link: RedisLink::new(connect, Home::Library) }))
}

fn builder(
    nodes: &[ConnectionInfo],
    certificates: &Certificates,
    timeouts: Timeouts,
) -> ClusterClientBuilder {
    certificates
        .cluster(ClusterClientBuilder::new(nodes.iter().cloned()))
        .connection_timeout(timeouts.connect)
        .response_timeout(timeouts.response)
        .retries(RETRIES)
}

impl Connect for ToCluster {
    type Connection = ClusterConnection;

    fn connect(&self, _lost: OnLost) -> BoxFuture<'_, RedisResult<Self::Connection>> {
        let limit = self.timeouts.connect.saturating_add(self.timeouts.response);
        within(limit, self.client.get_async_connection()).boxed()
    }

    /// The client restores lost connections to nodes by itself; what is lost here is the client.
    fn on_lost(&self) {
        if let Some(subscriber) = &self.subscriber {
            subscriber.lost();
        }
    }
}

/// Slots, and the primary that has them.
type Range = (RangeInclusive<u16>, Node);

/// After so many names every primary has been found, unless the keys' prefix has a tag of its own,
/// which puts all of them on one.
const MOST_TAGS: u32 = 1 << 18;

impl Cluster {
    async fn ranges(&self) -> Result<Vec<Range>, CommandError> {
        let slots = self.send(cmd("CLUSTER").arg("SLOTS")).await?.extract_error()?;
        let Value::Array(ranges) = slots else { return Ok(Vec::new()) };
        Ok(ranges.iter().filter_map(range).collect())
    }

    /// Sends a command to this node, or to the one that holds its key.
    async fn route(&self, cmd: &Cmd, node: Option<&Node>) -> Result<Value, CommandError> {
        let mut lease = self.link.get().await?;
        let nodes = &mut lease.connection;
        let result = match node {
            None => nodes.req_packed_command(cmd).await,
            Some(Node { host, port }) => {
                let node = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                nodes.route_command(cmd.clone(), RoutingInfo::SingleNode(node)).await
            }
        };
        if result.as_ref().is_err_and(RedisError::is_connection_dropped) {
            // The client restores the connections to its nodes, but nobody restores the client.
            self.link.give_up(&lease);
        }
        Ok(result?)
    }
}

impl Transport for Cluster {
    fn send<'a>(&'a self, cmd: &'a Cmd) -> BoxFuture<'a, Result<Value, CommandError>> {
        self.route(cmd, None).boxed()
    }

    fn send_all<'a>(
        &'a self,
        cmds: &'a Pipeline,
    ) -> BoxFuture<'a, Result<Vec<Value>, CommandError>> {
        // Their keys are on different nodes.
        join_all(cmds.cmd_iter().map(|cmd| self.send(cmd)))
            .map(|replies| replies.into_iter().collect())
            .boxed()
    }

    fn pipelines(&self) -> bool {
        false
    }

    fn primaries(&self) -> BoxFuture<'_, Result<Vec<Node>, CommandError>> {
        async move {
            // Sorted, and each once, however many ranges it has.
            let nodes: BTreeSet<Node> =
                self.ranges().await?.into_iter().map(|(_, node)| node).collect();
            Ok(nodes.into_iter().collect())
        }
        .boxed()
    }

    fn probes<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, CommandError>> {
        async move {
            let mut left = self.ranges().await?;
            let mut keys = Vec::new();
            for tag in 0..MOST_TAGS {
                if left.is_empty() {
                    break;
                }
                let key = rights::key(prefix, &tag.to_string());
                let slot = slot(&key);
                let found = left.iter().find(|(slots, _)| slots.contains(&slot));
                if let Some((_, node)) = found.cloned() {
                    left.retain(|(_, other)| *other != node);
                    keys.push(key);
                }
            }
            Ok(keys)
        }
        .boxed()
    }

    fn send_to<'a>(
        &'a self,
        node: &'a Node,
        cmd: &'a Cmd,
    ) -> BoxFuture<'a, Result<Value, CommandError>> {
        self.route(cmd, Some(node)).boxed()
    }

    fn patience(&self) -> Duration {
        self.link.connect().timeouts.of_a_command()
    }

    fn home(&self) -> Home {
        self.link.home()
    }

    fn duplicate(&self, home: Home) -> Box<dyn Transport> {
        Box::new(Self { link: RedisLink::new(self.link.connect().clone(), home) })
    }

    fn for_subscriptions(&self, subscriber: Arc<dyn Subscriber>) -> Box<dyn Transport> {
        let ToCluster { nodes, certificates, timeouts, client, .. } = self.link.connect();
        let to = Arc::clone(&subscriber);
        let pushes = builder(nodes, certificates, *timeouts).push_sender(move |push: PushInfo| {
            // A node that is lost for good has its slots, and with them the subscriptions, taken
            // over by another.
            if push.kind == PushKind::Disconnection {
                to.lost();
            } else {
                to.pushed(&push);
            }
            Ok::<(), RedisError>(())
        });
        // The same nodes were accepted before.
        let client = pushes.build().unwrap_or_else(|_| client.clone());
        let (nodes, certificates, timeouts) = (nodes.clone(), certificates.clone(), *timeouts);
        let subscriber = Some(subscriber);
        let connect = ToCluster { client, nodes, certificates, timeouts, subscriber };
        Box::new(Self { link: RedisLink::new(connect, Home::Library) })
    }
}

/// One range of `CLUSTER SLOTS`: `[first, last, [host, port, …], replicas…]`.
fn range(range: &Value) -> Option<Range> {
    let Value::Array(range) = range else { return None };
    let number = |place: usize| match range.get(place)? {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    let Value::Array(primary) = range.get(2)? else { return None };
    match (primary.first()?, primary.get(1)?) {
        (Value::BulkString(host), Value::Int(port)) => {
            let host = String::from_utf8(host.clone()).ok()?;
            let node = Node { host, port: u16::try_from(*port).ok()? };
            Some((number(0)?..=number(1)?, node))
        }
        _ => None,
    }
}

/// The slot of a key: of what is between its first braces, unless that is nothing.
fn slot(key: &str) -> u16 {
    const SLOTS: u16 = 16_384;
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = tag.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key);
    State::<XMODEM>::calculate(hashed.as_bytes()) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
        assert_ne!(slot("foo{}{bar}"), slot("bar"));
    }
}
