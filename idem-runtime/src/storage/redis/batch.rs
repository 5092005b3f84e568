//! Sends commands one by one while there are few, and many at once as one pipeline.
//!
//! A command on its own is handed to the connection's task and its reply handed back, with a timer around them. At many callers these
//! hand-overs cost more than the server's work, so while one command is under way the next ones queue up, and whatever has queued goes as
//! one pipeline, with one hand-over and one timer. A lone command never waits for company.
//!
//! The queue is sent by tasks that live while there is something to send. A caller that goes away leaves its place in the queue; the
//! others do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::oneshot;

use super::error::Fault;
use super::script::Lua;
use super::transport::Transport;

/// So many commands go by themselves before others queue.
const ALONE: usize = 1;

/// So many pipelines are under way at once: one is answered while the next is put together.
const LANES: usize = 2;

/// Most commands of a pipeline, so that the first of them is not kept waiting by the last.
const LONGEST: usize = 256;

type Reply = Result<Value, Fault>;

/// Sends commands to the servers. Replies that are errors of the server come as errors.
#[derive(Clone)]
pub(super) struct Sender(Arc<Inner>);

struct Inner {
    transport: Box<dyn Transport>,
    /// Commands under way by themselves.
    alone: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Tasks that are sending what is waiting.
    lanes: usize,
}

struct Waiting {
    cmd: Cmd,
    reply: oneshot::Sender<Reply>,
}

impl Sender {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        let alone = AtomicUsize::new(0);
        Self(Arc::new(Inner { transport, alone, queue: Mutex::default() }))
    }

    pub(super) fn transport(&self) -> &dyn Transport {
        &*self.0.transport
    }

    /// Calls a script on one record, wherever the script is not known yet.
    pub(super) async fn eval(&self, script: Lua, key: &str, args: &[&[u8]]) -> Reply {
        match self.send(script.by_hash(key, args)).await {
            Err(fault) if fault.is_unknown_script() => self.send(script.by_text(key, args)).await,
            reply => reply,
        }
    }

    /// Calls a script on many records at once; one reply for each.
    pub(super) async fn eval_all(&self, script: Lua, calls: &[(String, &[u8])]) -> Vec<Reply> {
        if !self.0.transport.pipelines() {
            let each = calls.iter().map(async |(key, arg)| self.eval(script, key, &[arg]).await);
            return join_all(each).await;
        }
        let mut replies = Vec::with_capacity(calls.len());
        for calls in calls.chunks(LONGEST) {
            let cmds = calls.iter().map(|(key, arg)| script.by_hash(key, &[arg])).collect();
            replies.extend(self.0.pipeline(cmds).await);
        }
        for ((key, arg), reply) in calls.iter().zip(&mut replies) {
            if reply.as_ref().is_err_and(Fault::is_unknown_script) {
                *reply = self.eval(script, key, &[arg]).await;
            }
        }
        replies
    }

    /// Sends one command.
    pub(super) async fn send(&self, cmd: Cmd) -> Reply {
        let inner = &self.0;
        if let Some(_alone) = Alone::enter(inner) {
            return checked(inner.transport.send(&cmd).await);
        }
        let (reply, replied) = oneshot::channel();
        let lane = {
            let mut queue = inner.queue.lock();
            queue.waiting.push(Waiting { cmd, reply });
            (queue.lanes < LANES).then(|| queue.lanes += 1)
        };
        if lane.is_some() {
            tokio::spawn(Lane::new(inner).run());
        }
        replied.await.unwrap_or_else(|_| Err(Fault::Sent(abandoned())))
    }
}

/// Counts a command that goes by itself.
struct Alone<'a>(&'a AtomicUsize);

impl<'a> Alone<'a> {
    /// `None` when it should queue.
    fn enter(inner: &'a Inner) -> Option<Self> {
        let alone = Self(&inner.alone);
        let others = alone.0.fetch_add(1, Ordering::Relaxed);
        (others < ALONE || !inner.transport.pipelines()).then_some(alone)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inner {
    /// Sends commands as one pipeline; one reply for each.
    async fn pipeline(&self, cmds: Vec<Cmd>) -> Vec<Reply> {
        let count = cmds.len();
        if count == 0 {
            return Vec::new();
        }
        let mut pipeline = Pipeline::with_capacity(count);
        for cmd in cmds {
            pipeline.add_command(cmd);
        }
        match self.transport.send_all(&pipeline).await {
            Ok(values) if values.len() == count => {
                values.into_iter().map(|value| checked(Ok(value))).collect()
            }
            Ok(_) => vec![Err(Fault::Sent(abandoned())); count],
            Err(fault) => vec![Err(fault); count],
        }
    }
}

/// Makes an error of a reply that is one.
fn checked(reply: Reply) -> Reply {
    Ok(reply?.extract_error()?)
}

/// The error of a command whose reply will not come.
fn abandoned() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// One of the tasks that send what is waiting.
struct Lane {
    inner: Arc<Inner>,
    ended: bool,
}

impl Lane {
    fn new(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::clone(inner), ended: false }
    }

    async fn run(mut self) {
        while let Some((cmds, callers)) = self.take() {
            let replies = self.inner.pipeline(cmds).await;
            for (caller, reply) in callers.into_iter().zip(replies) {
                // A caller that has gone away does not want it.
                let _ = caller.send(reply);
            }
        }
    }

    /// What has queued, up to a pipeline's length; `None` ends this lane.
    fn take(&mut self) -> Option<(Vec<Cmd>, Vec<oneshot::Sender<Reply>>)> {
        let mut queue = self.inner.queue.lock();
        if queue.waiting.is_empty() {
            // Under the same lock, so that whatever queues next starts a lane.
            queue.lanes -= 1;
            self.ended = true;
            return None;
        }
        let len = queue.waiting.len().min(LONGEST);
        let wanted = queue.waiting.drain(..len).filter(|waiting| !waiting.reply.is_closed());
        Some(wanted.map(|Waiting { cmd, reply }| (cmd, reply)).unzip())
    }
}

impl Drop for Lane {
    /// The runtime may end while commands are waiting: their callers get an error instead of waiting for a lane.
    fn drop(&mut self) {
        if !self.ended {
            let mut queue = self.inner.queue.lock();
            queue.lanes -= 1;
            let abandoned = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(abandoned);
        }
    }
}
