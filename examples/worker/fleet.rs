//! The workers: tasks where the storage lives in this process, processes where it is a server.

use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use idempotency::Idempotency;
use idempotency::storage::Storage as _;

use crate::Setup;
use crate::bank::Bank;
use crate::process;
use crate::work::{self, Answer, Delivery};

pub(crate) struct Fleet {
    setup: Setup,
    idem: Idempotency,
    started: u32,
}

/// What the workers are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tasks,
    Processes,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Processes => "processes",
        }
    }

    pub(crate) fn how_it_dies(self) -> &'static str {
        match self {
            Self::Tasks => "tasks aborted, which is noticed at once: no lease has to run out",
            Self::Processes => {
                "processes killed with SIGKILL, which nobody notices before the lease is over"
            }
        }
    }
}

/// A worker as the queue sees it.
pub(crate) struct Worker {
    pub(crate) number: u32,
    pub(crate) deliveries: mpsc::UnboundedSender<Delivery>,
    life: Life,
}

enum Life {
    Task(JoinHandle<()>),
    Process(Child),
}

impl Fleet {
    pub(crate) fn new(setup: &Setup, idem: Idempotency) -> Self {
        Self { setup: setup.clone(), idem, started: 0 }
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.idem.storage().backend() == "memory" { Kind::Tasks } else { Kind::Processes }
    }

    /// Starts a worker. The channel of its answers closes when it ends.
    pub(crate) fn start(&mut self) -> anyhow::Result<(Worker, mpsc::UnboundedReceiver<Answer>)> {
        self.started += 1;
        let number = self.started;
        let (deliver, deliveries) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let setup = &self.setup;
        let life = if self.kind() == Kind::Tasks {
            // A handle of its own, so that workers know of each other through the storage alone, as processes do.
            let idem = Idempotency::builder(self.idem.storage().clone())
                .namespace(self.idem.namespace())
                .lease(setup.lease)
                .build()?;
            let bank = Bank::open(&setup.ledger, number, setup.bank_takes)?;
            Life::Task(tokio::spawn(work::work(idem, setup.on_crash, bank, deliveries, answer)))
        } else {
            Life::Process(process::spawn(number, setup.clone(), deliveries, answer)?)
        };
        Ok((Worker { number, deliveries: deliver, life }, answers))
    }
}

impl Worker {
    /// Kills it without warning, and waits until it is gone.
    ///
    /// Nobody learns of a SIGKILL before the leases run out. Aborting a task drops its futures: that is a crash that the library sees, and
    /// the crash policy applies at once.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        match self.life {
            Life::Task(task) => {
                task.abort();
                // The error says that it was aborted.
                let _ = task.await;
            }
            Life::Process(mut child) => child.kill().await?,
        }
        Ok(())
    }

    /// Lets it end by itself, now that there is nothing left to do.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        drop(self.deliveries);
        match self.life {
            Life::Task(task) => task.await?,
            Life::Process(mut child) => {
                let status = child.wait().await?;
                anyhow::ensure!(status.success(), "worker {} ended with {status}", self.number);
            }
        }
        Ok(())
    }
}
