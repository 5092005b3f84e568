//! A Redis Cluster. The client knows which node holds a key, follows slots that move, and keeps a connection to each node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use redis::aio::ConnectionLike;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    Cmd, ConnectionInfo, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, cmd,
};

use super::error::Fault;
use super::link::{Connect, Link, Lost};
use super::tls::Certificates;
use super::transport::{Node, Subscriber, Timeouts, Transport, within};
use crate::storage::{StorageError, StorageErrorKind};

/// How often the client tries a command again, following slots that move and waiting for a cluster that elects a primary.
const RETRIES: u32 = 8;

struct Cluster {
    link: Link<ToCluster>,
}

/// Connects to the nodes of a cluster.
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
    Ok(Box::new(Cluster { link: Link::new(connect) }))
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

    fn connect(&self, _lost: Lost) -> BoxFuture<'_, RedisResult<Self::Connection>> {
        let limit = self.timeouts.connect.saturating_add(self.timeouts.response);
        within(limit, self.client.get_async_connection()).boxed()
    }

    /// The client restores lost connections to nodes by itself; what is lost here is the client.
    fn has_lost(&self) {
        if let Some(subscriber) = &self.subscriber {
            subscriber.lost();
        }
    }
}

impl Cluster {
    /// Sends a command to this node, or to the one that holds its key.
    async fn route(&self, cmd: &Cmd, node: Option<&Node>) -> Result<Value, Fault> {
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
    fn send<'a>(&'a self, cmd: &'a Cmd) -> BoxFuture<'a, Result<Value, Fault>> {
        self.route(cmd, None).boxed()
    }

    fn send_all<'a>(&'a self, cmds: &'a Pipeline) -> BoxFuture<'a, Result<Vec<Value>, Fault>> {
        // Their keys are on different nodes.
        join_all(cmds.cmd_iter().map(|cmd| self.send(cmd)))
            .map(|replies| replies.into_iter().collect())
            .boxed()
    }

    fn pipelines(&self) -> bool {
        false
    }

    fn primaries(&self) -> BoxFuture<'_, Result<Vec<Node>, Fault>> {
        async move {
            let slots = self.send(cmd("CLUSTER").arg("SLOTS")).await?.extract_error()?;
            let Value::Array(ranges) = slots else { return Ok(Vec::new()) };
            // Sorted, and each once, however many ranges it has.
            let nodes: BTreeSet<Node> = ranges.iter().filter_map(primary).collect();
            Ok(nodes.into_iter().collect())
        }
        .boxed()
    }

    fn send_to<'a>(&'a self, node: &'a Node, cmd: &'a Cmd) -> BoxFuture<'a, Result<Value, Fault>> {
        self.route(cmd, Some(node)).boxed()
    }

    fn patience(&self) -> Duration {
        self.link.connect().timeouts.of_a_command()
    }

    fn another(&self) -> Option<Box<dyn Transport>> {
        None
    }

    fn subscribed(&self, subscriber: Arc<dyn Subscriber>) -> Box<dyn Transport> {
        let ToCluster { nodes, certificates, timeouts, client, .. } = self.link.connect();
        let to = Arc::clone(&subscriber);
        let pushes = builder(nodes, certificates, *timeouts).push_sender(move |push: PushInfo| {
            // A node that is lost for good has its slots, and with them the subscriptions, taken over by another.
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
        Box::new(Self { link: Link::new(connect) })
    }
}

/// The primary of one range of `CLUSTER SLOTS`: `[first, last, [host, port, …], replicas…]`.
fn primary(range: &Value) -> Option<Node> {
    let Value::Array(range) = range else { return None };
    let Value::Array(primary) = range.get(2)? else { return None };
    match (primary.first()?, primary.get(1)?) {
        (Value::BulkString(host), Value::Int(port)) => {
            let host = String::from_utf8(host.clone()).ok()?;
            Some(Node { host, port: u16::try_from(*port).ok()? })
        }
        _ => None,
    }
}
