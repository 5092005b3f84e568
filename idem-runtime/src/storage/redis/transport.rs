//! How commands reach a server: one interface over a single server, one behind sentinels, and a
//! cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult,
    ServerErrorKind, Value,
};

use super::error::{CommandError, late};
use super::link::{Connect, OnLost, RedisLink};
use super::rights;
use crate::driver::Home;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) response: Duration,
}

impl Timeouts {
    /// How long a command may take: finding the server, connecting to it, and its reply.
    pub(super) fn of_a_command(self) -> Duration {
        self.connect.saturating_mul(2).saturating_add(self.response)
    }
}

/// Receives what servers push. It must not block.
pub(super) trait Subscriber: Send + Sync + 'static {
    /// A server pushed something.
    fn pushed(&self, push: &PushInfo);

    /// A connection was lost, and with it its subscriptions.
    fn lost(&self);
}

/// Where commands are sent. Replies that are errors of the server come as [`Value::ServerError`].
pub(super) trait Transport: Send + Sync + 'static {
    /// Sends a command to the server that holds its key.
    fn send<'a>(&'a self, cmd: &'a Cmd) -> BoxFuture<'a, Result<Value, CommandError>>;

    /// Sends commands at once; one reply for each.
    fn send_all<'a>(
        &'a self,
        cmds: &'a Pipeline,
    ) -> BoxFuture<'a, Result<Vec<Value>, CommandError>>;

    /// True if [`send_all`](Self::send_all) is cheaper than sending each command, and commands on
    /// one connection wait for each other. False if neither holds, as in a cluster.
    fn pipelines(&self) -> bool;

    /// The primaries, in an order that does not change by itself.
    fn primaries(&self) -> BoxFuture<'_, Result<Vec<Node>, CommandError>>;

    /// Names of keys that no record has, one on each primary.
    fn probes<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, CommandError>>;

    /// Sends a command to one of the [`primaries`](Self::primaries).
    fn send_to<'a>(
        &'a self,
        node: &'a Node,
        cmd: &'a Cmd,
    ) -> BoxFuture<'a, Result<Value, CommandError>>;

    /// How long one of these may take, connecting included.
    fn patience(&self) -> Duration;

    /// Where its connections are made and driven.
    fn home(&self) -> Home;

    /// Another connection to the same servers, with this home.
    fn duplicate(&self, home: Home) -> Box<dyn Transport>;

    /// Another connection to the same servers, for subscriptions, on the library's own thread.
    fn for_subscriptions(&self, subscriber: Arc<dyn Subscriber>) -> Box<dyn Transport>;
}

/// Name of a server among [`Transport::primaries`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Node {
    /// The one server where there are no others.
    pub(super) fn only() -> Self {
        Self { host: String::new(), port: 0 }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Finds the server that takes writes.
pub(super) trait PrimaryResolver: Send + Sync + 'static {
    fn resolve(&self) -> BoxFuture<'_, RedisResult<Client>>;
}

/// A server that is always at the same address.
impl PrimaryResolver for Client {
    fn resolve(&self) -> BoxFuture<'_, RedisResult<Client>> {
        std::future::ready(Ok(self.clone())).boxed()
    }
}

/// One server that takes writes, wherever it is at the time.
pub(super) struct Single {
    link: RedisLink<PrimaryConnector>,
}

/// Connects to the server that takes writes.
#[derive(Clone)]
struct PrimaryConnector {
    primary: Arc<dyn PrimaryResolver>,
    timeouts: Timeouts,
    subscriber: Option<Arc<dyn Subscriber>>,
    /// The key prefix on which the user's rights are checked; `None` skips the check.
    tried: Option<Arc<str>>,
}

/// Disables Nagle's algorithm, for connections that carry pipelines: with it, a pipeline would wait
/// for the TCP acknowledgement of the previous one. Connections that carry single commands keep it,
/// because it combines their commands into fewer packets.
pub(super) fn without_delay() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// How many commands wait for the connection's task before their senders do.
const BUFFER: usize = 1024;

impl Connect for PrimaryConnector {
    type Connection = MultiplexedConnection;

    fn connect(&self, lost: OnLost) -> BoxFuture<'_, RedisResult<MultiplexedConnection>> {
        let subscriber = self.subscriber.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.response))
            .set_pipeline_buffer_size(BUFFER)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    lost.call();
                } else if let Some(subscriber) = &subscriber {
                    subscriber.pushed(&push);
                }
                Ok::<(), RedisError>(())
            });
        async move {
            let client = within(self.timeouts.connect, self.primary.resolve()).await?;
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config).await?;
            if let Some(prefix) = &self.tried {
                let key = rights::key(prefix, "");
                let trial = rights::pipeline(&key);
                let replies = connection.send_packed_commands(&trial, 0, trial.len()).await?;
                rights::judge(&key, replies)?;
            }
            Ok(connection)
        }
        .boxed()
    }

    fn on_lost(&self) {
        if let Some(subscriber) = &self.subscriber {
            subscriber.lost();
        }
    }
}

/// Ends a future that takes too long.
pub(super) async fn within<T>(
    limit: Duration,
    future: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| Err(late()))
}

impl Single {
    /// `tried` is the key prefix on which the user's rights are checked; `None` skips the check.
    pub(super) fn new(
        primary: impl PrimaryResolver,
        timeouts: Timeouts,
        tried: Option<Arc<str>>,
    ) -> Self {
        let primary = Arc::new(primary);
        let connect = PrimaryConnector { primary, timeouts, subscriber: None, tried };
        Self { link: RedisLink::new(connect, Home::Library) }
    }
}

impl Transport for Single {
    fn send<'a>(&'a self, cmd: &'a Cmd) -> BoxFuture<'a, Result<Value, CommandError>> {
        async move {
            let mut lease = self.link.get().await?;
            let result = lease.connection.send_packed_command(cmd).await;
            if result.as_ref().map_or_else(ends_connection, is_from_replica) {
                self.link.give_up(&lease);
            }
            Ok(result?)
        }
        .boxed()
    }

    fn send_all<'a>(
        &'a self,
        cmds: &'a Pipeline,
    ) -> BoxFuture<'a, Result<Vec<Value>, CommandError>> {
        async move {
            let mut lease = self.link.get().await?;
            let result = lease.connection.send_packed_commands(cmds, 0, cmds.len()).await;
            let from_replica = |values: &Vec<Value>| values.iter().any(is_from_replica);
            if result.as_ref().map_or_else(ends_connection, from_replica) {
                self.link.give_up(&lease);
            }
            Ok(result?)
        }
        .boxed()
    }

    fn pipelines(&self) -> bool {
        true
    }

    fn primaries(&self) -> BoxFuture<'_, Result<Vec<Node>, CommandError>> {
        std::future::ready(Ok(vec![Node::only()])).boxed()
    }

    fn probes<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, CommandError>> {
        std::future::ready(Ok(vec![rights::key(prefix, "")])).boxed()
    }

    fn send_to<'a>(
        &'a self,
        _node: &'a Node,
        cmd: &'a Cmd,
    ) -> BoxFuture<'a, Result<Value, CommandError>> {
        self.send(cmd)
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
        let connect = PrimaryConnector {
            subscriber: Some(subscriber),
            tried: None,
            ..self.link.connect().clone()
        };
        Box::new(Self { link: RedisLink::new(connect, Home::Library) })
    }
}

/// Whether the connection is unusable after this error. A timeout counts: the reply may never come,
/// and a new connection is cheap.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

/// Whether the server says that it does not take writes (any more).
fn is_from_replica(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ReadOnly))
}
