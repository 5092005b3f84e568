//! Sends commands one by one while there are few, and many at once as one pipeline.
//!
//! A command on its own is handed to the connection's task and its reply handed back, with a timer around them. At many callers these
//! hand-overs cost more than the server's work, so while something is under way the next commands queue up, and what has queued goes as
//! one pipeline, with one hand-over and one timer. Completions among them go as calls for several records each, which spares the server
//! most of what a script costs. A lone command never waits for company.
//!
//! The queue is sent by a task that lives while there is something to send, at the home of the connection. A caller that goes away leaves
//! its place in the queue; the others do not notice. Each caller waits for no longer than its own limit.

use std::sync::Arc;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::completion::{self, Completion};
use super::error::{Fault, abandoned, late};
use super::script::Lua;
use super::transport::Transport;

/// Most commands of a pipeline, so that the first of them is not kept waiting by the last.
const LONGEST: usize = 256;

pub(super) type Reply = Result<Value, Fault>;

type Caller = oneshot::Sender<Reply>;

/// Sends commands to the servers. Replies that are errors of the server come as errors.
#[derive(Clone)]
pub(super) struct Sender(Arc<Inner>);

struct Inner {
    transport: Box<dyn Transport>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// The number of the next command.
    next: u64,
    /// Whether a command is under way by itself.
    alone: bool,
    /// Whether a task is sending what is waiting.
    sending: bool,
}

struct Waiting {
    number: u64,
    request: Request,
    caller: Caller,
}

enum Request {
    Command(Cmd),
    Complete(Completion),
}

impl Sender {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        Self(Arc::new(Inner { transport, queue: Mutex::default() }))
    }

    /// Connects, unless it has.
    pub(super) async fn ping(&self) -> Result<(), Fault> {
        checked(self.0.transport.send(&redis::cmd("PING")).await).map(drop)
    }

    pub(super) fn transport(&self) -> &dyn Transport {
        &*self.0.transport
    }

    /// Sends one command.
    pub(super) async fn send(&self, cmd: Cmd) -> Reply {
        match Alone::enter(&self.0) {
            Some(_alone) => checked(self.0.transport.send(&cmd).await),
            None => self.queue(Request::Command(cmd)).await,
        }
    }

    /// Completes one record.
    pub(super) async fn complete(&self, completion: Completion) -> Reply {
        let Some(_alone) = Alone::enter(&self.0) else {
            return self.queue(Request::Complete(completion)).await;
        };
        let one = std::slice::from_ref(&completion);
        let transport = &self.0.transport;
        match checked(transport.send(&completion::by_hash(one)).await) {
            Err(fault) if fault.is_unknown_script() => {
                checked(transport.send(&completion::by_text(one)).await)
            }
            reply => reply,
        }
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
            replies.extend(self.0.pipeline(cmds).await.into_iter().map(checked));
        }
        for ((key, arg), reply) in calls.iter().zip(&mut replies) {
            if reply.as_ref().is_err_and(Fault::is_unknown_script) {
                *reply = self.eval(script, key, &[arg]).await;
            }
        }
        replies
    }

    async fn queue(&self, request: Request) -> Reply {
        let (caller, mut reply) = oneshot::channel();
        let (number, sending) = {
            let mut queue = self.0.queue.lock();
            let number = queue.next;
            queue.next += 1;
            queue.waiting.push(Waiting { number, request, caller });
            (number, std::mem::replace(&mut queue.sending, true))
        };
        if !sending {
            self.0.transport.home().spawn(Courier::new(&self.0).run());
        }
        match timeout(self.0.transport.patience(), &mut reply).await {
            Ok(reply) => reply.unwrap_or_else(|_| Err(Fault::Sent(abandoned()))),
            Err(_) if self.0.queue.lock().take_back(number) => Err(Fault::Unsent(late())),
            Err(_) => reply.try_recv().unwrap_or_else(|_| Err(Fault::Sent(late()))),
        }
    }
}

impl Queue {
    /// Removes a command that has not been sent; false where it has, or may have been.
    fn take_back(&mut self, number: u64) -> bool {
        let place = self.waiting.binary_search_by_key(&number, |waiting| waiting.number);
        place.map(|place| self.waiting.remove(place)).is_ok()
    }
}

/// A command that goes by itself.
struct Alone<'a>(&'a Inner);

impl<'a> Alone<'a> {
    /// `None` when it should queue, because something is under way.
    fn enter(inner: &'a Inner) -> Option<Self> {
        if inner.transport.pipelines() {
            let mut queue = inner.queue.lock();
            if queue.alone || queue.sending {
                return None;
            }
            queue.alone = true;
        }
        Some(Self(inner))
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if self.0.transport.pipelines() {
            self.0.queue.lock().alone = false;
        }
    }
}

impl Inner {
    /// Sends commands as one pipeline; one reply for each, where errors of the server are values still.
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
            Ok(values) if values.len() == count => values.into_iter().map(Ok).collect(),
            Ok(_) => vec![Err(Fault::Sent(abandoned())); count],
            Err(fault) => vec![Err(fault); count],
        }
    }
}

/// Makes an error of a reply that is one.
fn checked(reply: Reply) -> Reply {
    Ok(reply?.extract_error()?)
}

/// The task that sends what is waiting.
struct Courier {
    inner: Arc<Inner>,
    ended: bool,
}

impl Courier {
    fn new(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::clone(inner), ended: false }
    }

    async fn run(mut self) {
        loop {
            // Whoever has just got a reply has its next command ready in a moment, and it goes along.
            tokio::task::yield_now().await;
            let Some(batch) = self.take() else { break };
            batch.send(&self.inner).await;
        }
    }

    /// What has queued, up to a pipeline's length; `None` ends this task.
    fn take(&mut self) -> Option<Batch> {
        let mut queue = self.inner.queue.lock();
        if queue.waiting.is_empty() {
            // Under the same lock, so that whatever queues next starts another.
            queue.sending = false;
            self.ended = true;
            return None;
        }
        let len = queue.waiting.len().min(LONGEST);
        let mut batch = Batch::default();
        for Waiting { request, caller, .. } in queue.waiting.drain(..len) {
            match request {
                _ if caller.is_closed() => {}
                Request::Command(cmd) => {
                    batch.cmds.push(cmd);
                    batch.callers.push(caller);
                }
                Request::Complete(completion) => {
                    batch.completions.push(completion);
                    batch.completers.push(caller);
                }
            }
        }
        Some(batch)
    }
}

impl Drop for Courier {
    /// The task ends with its runtime: who still waits gets an error then.
    fn drop(&mut self) {
        if !self.ended {
            let mut queue = self.inner.queue.lock();
            queue.sending = false;
            let abandoned = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(abandoned);
        }
    }
}

/// What goes as one pipeline. A caller that has gone away does not want its reply.
#[derive(Default)]
struct Batch {
    cmds: Vec<Cmd>,
    callers: Vec<Caller>,
    completions: Vec<Completion>,
    completers: Vec<Caller>,
}

impl Batch {
    async fn send(self, inner: &Inner) {
        let Self { mut cmds, callers, completions, completers } = self;
        let groups = completion::groups(&completions);
        cmds.extend(groups.iter().map(|group| completion::by_hash(group)));
        let mut replies = inner.pipeline(cmds).await.into_iter();
        for (caller, reply) in callers.into_iter().zip(&mut replies) {
            let _ = caller.send(checked(reply));
        }
        let mut completers = completers.into_iter();
        let (mut again, mut refused) = (Vec::new(), Vec::new());
        for (group, reply) in groups.into_iter().zip(replies) {
            let callers = completers.by_ref().take(group.len());
            if let Some(replies) = each(reply, group.len()) {
                for (caller, reply) in callers.zip(replies) {
                    let _ = caller.send(checked(reply));
                }
            } else {
                again.extend(group.chunks(1).map(completion::by_text));
                refused.extend(callers);
            }
        }
        for (caller, reply) in refused.into_iter().zip(inner.pipeline(again).await) {
            let _ = caller.send(checked(reply));
        }
    }
}

/// The replies to a group of so many; `None` when the server did nothing, because it does not know the script or refuses the call. One of
/// the records may be the reason, so each is asked for by itself then.
fn each(reply: Reply, count: usize) -> Option<Vec<Reply>> {
    match reply {
        Ok(Value::ServerError(_)) => None,
        Ok(value) if count == 1 => Some(vec![Ok(value)]),
        Ok(Value::Array(values)) if values.len() == count => {
            Some(values.into_iter().map(Ok).collect())
        }
        Ok(_) => Some(vec![Err(Fault::Sent(abandoned())); count]),
        Err(fault) => Some(vec![Err(fault); count]),
    }
}
