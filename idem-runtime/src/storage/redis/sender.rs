//! Sends commands one by one while there are few, and many at once as one pipeline.
//!
//! A single command is handed to the connection's task, its reply is handed back, and a timer
//! limits both. With many callers these hand-overs cost more than the server's work. So commands
//! that arrive while a pipeline is in flight form the next one, with one hand-over and one timer,
//! sent by a [`Batcher`] on the connection's home. Its completions share script calls for several
//! records each, which saves most of the cost of a script on the server.

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, Value};

use super::completion::{self, Completion};
use super::error::{CommandError, abandoned, late};
use super::script::Lua;
use super::transport::Transport;
use crate::storage::batch::{BatchExecutor, Batcher, MAX_BATCH, Pace, Pending, Unanswered};

/// One pipeline at a time: the next one is put together meanwhile.
const PACE: Pace = Pace { lanes: 1, sparse_after: None, stalled_after: None };

pub(super) type CommandReply = Result<Value, CommandError>;

/// Sends commands to the servers. Replies that are errors of the server come as errors.
#[derive(Clone)]
pub(super) struct Sender(Batcher<Pipelines>);

/// Sends batches as pipelines.
struct Pipelines {
    transport: Box<dyn Transport>,
}

enum Request {
    Command(Cmd),
    Complete(Completion),
}

impl Sender {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        Self(Batcher::new(Pipelines { transport }, PACE))
    }

    /// Connects, unless it has.
    pub(super) async fn ping(&self) -> Result<(), CommandError> {
        checked(self.transport().send(&redis::cmd("PING")).await).map(drop)
    }

    pub(super) fn transport(&self) -> &dyn Transport {
        &*self.0.executor().transport
    }

    /// Sends one command.
    pub(super) async fn send(&self, cmd: Cmd) -> CommandReply {
        self.submit(Request::Command(cmd)).await
    }

    /// Completes one record.
    pub(super) async fn complete(&self, completion: Completion) -> CommandReply {
        self.submit(Request::Complete(completion)).await
    }

    /// Sends a request at once if no other is in flight or the transport does not pipeline;
    /// otherwise queues it for the next pipeline.
    async fn submit(&self, request: Request) -> CommandReply {
        let transport = self.transport();
        let lone = transport.pipelines().then(|| self.0.enter_alone());
        if matches!(lone, Some(None)) {
            return self.queue(request).await;
        }
        match &request {
            Request::Command(cmd) => checked(transport.send(cmd).await),
            Request::Complete(completion) => {
                let one = std::slice::from_ref(completion);
                match checked(transport.send(&completion::by_hash(one)).await) {
                    Err(fault) if fault.is_unknown_script() => {
                        checked(transport.send(&completion::by_text(one)).await)
                    }
                    reply => reply,
                }
            }
        }
    }

    /// Calls a script on one record, with its text where the server does not know it yet.
    pub(super) async fn eval(&self, script: Lua, key: &str, args: &[&[u8]]) -> CommandReply {
        match self.send(script.by_hash(key, args)).await {
            Err(fault) if fault.is_unknown_script() => self.send(script.by_text(key, args)).await,
            reply => reply,
        }
    }

    /// Calls a script on many records at once; one reply for each.
    pub(super) async fn eval_all(
        &self,
        script: Lua,
        calls: &[(String, &[u8])],
    ) -> Vec<CommandReply> {
        if !self.transport().pipelines() {
            let each = calls.iter().map(async |(key, arg)| self.eval(script, key, &[arg]).await);
            return join_all(each).await;
        }
        let mut replies = Vec::with_capacity(calls.len());
        for calls in calls.chunks(MAX_BATCH) {
            let cmds = calls.iter().map(|(key, arg)| script.by_hash(key, &[arg])).collect();
            replies.extend(self.0.executor().pipeline(cmds).await.into_iter().map(checked));
        }
        for ((key, arg), reply) in calls.iter().zip(&mut replies) {
            if reply.as_ref().is_err_and(CommandError::is_unknown_script) {
                *reply = self.eval(script, key, &[arg]).await;
            }
        }
        replies
    }

    async fn queue(&self, request: Request) -> CommandReply {
        let reply = self.0.submit(request, self.transport().patience()).await;
        reply.unwrap_or_else(|unanswered| {
            Err(match unanswered {
                Unanswered::Withdrawn => CommandError::Unsent(late()),
                Unanswered::Late => CommandError::Sent(late()),
                Unanswered::Abandoned => CommandError::Sent(abandoned()),
            })
        })
    }
}

impl Pipelines {
    /// Sends commands as one pipeline; one reply for each, in which an error of the server is still
    /// a value.
    async fn pipeline(&self, cmds: Vec<Cmd>) -> Vec<CommandReply> {
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
            Ok(_) => vec![Err(CommandError::Sent(abandoned())); count],
            Err(fault) => vec![Err(fault); count],
        }
    }
}

impl BatchExecutor for Pipelines {
    type Request = Request;
    type Reply = CommandReply;

    fn spawn(&self, lane: impl Future<Output = ()> + Send + 'static) {
        self.transport.home().spawn(lane);
    }

    async fn execute(&self, batch: Vec<Pending<Self>>) {
        let (mut cmds, mut callers) = (Vec::new(), Vec::new());
        let (mut completions, mut completers) = (Vec::new(), Vec::new());
        for Pending { request, caller, .. } in batch {
            match request {
                _ if caller.is_closed() => {}
                Request::Command(cmd) => {
                    cmds.push(cmd);
                    callers.push(caller);
                }
                Request::Complete(completion) => {
                    completions.push(completion);
                    completers.push(caller);
                }
            }
        }
        let groups = completion::groups(&completions);
        cmds.extend(groups.iter().map(|group| completion::by_hash(group)));
        let mut replies = self.pipeline(cmds).await.into_iter();
        for (caller, reply) in callers.into_iter().zip(&mut replies) {
            let _ = caller.send(checked(reply));
        }
        let mut completers = completers.into_iter();
        let (mut retries, mut refused) = (Vec::new(), Vec::new());
        for (group, reply) in groups.into_iter().zip(replies) {
            let callers = completers.by_ref().take(group.len());
            if let Some(replies) = split_reply(reply, group.len()) {
                for (caller, reply) in callers.zip(replies) {
                    let _ = caller.send(checked(reply));
                }
            } else {
                retries.extend(group.chunks(1).map(completion::by_text));
                refused.extend(callers);
            }
        }
        for (caller, reply) in refused.into_iter().zip(self.pipeline(retries).await) {
            let _ = caller.send(checked(reply));
        }
    }
}

/// Makes an error of a reply that is one.
fn checked(reply: CommandReply) -> CommandReply {
    Ok(reply?.extract_error()?)
}

/// Splits the reply to a group of `count` completions. `None` if the server did nothing, because it
/// does not know the script or refused the call. One record may be the cause, so each completion is
/// then sent by itself.
fn split_reply(reply: CommandReply, count: usize) -> Option<Vec<CommandReply>> {
    match reply {
        Ok(Value::ServerError(_)) => None,
        Ok(value) if count == 1 => Some(vec![Ok(value)]),
        Ok(Value::Array(values)) if values.len() == count => {
            Some(values.into_iter().map(Ok).collect())
        }
        Ok(_) => Some(vec![Err(CommandError::Sent(abandoned())); count]),
        Err(fault) => Some(vec![Err(fault); count]),
    }
}
