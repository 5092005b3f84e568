//! What stands for a process, and a call that it has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use idem_runtime::hooks::AbandonReason;
use idem_runtime::testing::{Faults, Verb};
use idem_runtime::{Error, Idempotency, Operation, Outcome};
use idem_tests::Job;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::gate::Gate;
use super::{Stage, in_time, until};

/// Stands for a process: a handle of its own, on a connection of its own.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) idem: Idempotency,
    /// What goes wrong between this process and the storage.
    pub(crate) faults: Faults,
    pub(crate) heard: Arc<Heard>,
}

/// How often each hook was called.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(super) replays: AtomicUsize,
    pub(super) unrecorded: AtomicUsize,
    pub(super) takeovers: AtomicUsize,
    pub(super) abandoned: Mutex<Vec<AbandonReason>>,
    pub(super) parked: AtomicUsize,
}

impl Process {
    /// A call of the operation that most tests are about.
    pub(crate) fn charge(&self, key: &str) -> Operation {
        self.idem.operation(Job::OPERATION).key(key)
    }

    /// Waits until this process has asked the storage again for a key that is another's: its call is
    /// subscribed by then, and waits.
    pub(crate) async fn waits_elsewhere(&self) {
        until("the call has looked again", || self.faults.calls(Verb::Claim) > 1).await;
    }

    /// Calls and holds the body back at `gate`, in a task; when this returns the body has begun.
    pub(crate) async fn begin(
        &self,
        stage: &Stage,
        key: &str,
        value: &str,
        settings: impl FnOnce(Operation) -> Operation,
    ) -> Running {
        let gate = Gate::default();
        let operation = settings(self.charge(key));
        let (stage, key, value, inside) =
            (stage.clone(), key.to_owned(), value.to_owned(), gate.clone());
        let mut task = tokio::spawn(async move {
            operation.run_with_outcome(stage.gated(&key, &value, &inside)).await
        });
        tokio::select! {
            () = gate.begun() => Running { gate, task },
            ended = &mut task => panic!("the call ended before its body began: {ended:?}"),
        }
    }
}

/// A call whose body has begun.
pub(crate) struct Running {
    pub(crate) gate: Gate,
    task: JoinHandle<Result<Outcome<String>, Error>>,
}

impl Running {
    /// Lets the body go on, and gives how the call ended.
    pub(crate) async fn finish(self) -> Result<Outcome<String>, Error> {
        self.gate.open();
        in_time(self.task).await.unwrap()
    }

    /// Drops the call's future, and waits until it is dropped.
    pub(crate) async fn cancel(self) {
        self.task.abort();
        assert!(in_time(self.task).await.unwrap_err().is_cancelled());
    }
}

impl Heard {
    pub(crate) fn replays(&self) -> usize {
        self.replays.load(Ordering::SeqCst)
    }
    pub(crate) fn unrecorded(&self) -> usize {
        self.unrecorded.load(Ordering::SeqCst)
    }
    pub(crate) fn takeovers(&self) -> usize {
        self.takeovers.load(Ordering::SeqCst)
    }
    pub(crate) fn abandoned(&self) -> Vec<AbandonReason> {
        self.abandoned.lock().clone()
    }
    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::SeqCst)
    }
}
