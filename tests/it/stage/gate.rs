//! Calls that are held back, or wait, at a place that a test knows.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::in_time;

/// A gate inside a body, and the knowledge that the body has come to it.
#[derive(Clone)]
pub(crate) struct Gate {
    begun: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { begun: closed(), opened: closed() }
    }
}

impl Gate {
    /// Passes when the gate is open.
    pub(crate) async fn pass(&self) {
        self.begun.add_permits(1);
        drop(self.opened.acquire().await.unwrap());
    }

    /// What `future` gives, having told the gate as soon as it has been polled and has to wait.
    ///
    /// A call that has to wait has then attached to the call in this process that it waits for, or
    /// its request to the storage is under way.
    pub(crate) async fn waits<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut begun = Some(&self.begun);
        poll_fn(|context| {
            let poll = future.as_mut().poll(context);
            if poll.is_pending()
                && let Some(begun) = begun.take()
            {
                begun.add_permits(1);
            }
            poll
        })
        .await
    }

    /// Waits until a body has come to the gate.
    pub(crate) async fn begun(&self) {
        in_time(self.begun.acquire()).await.unwrap().forget();
    }

    /// Lets everybody pass from now on.
    pub(crate) fn open(&self) {
        self.opened.add_permits(1);
    }
}

/// Makes a call that has to wait, in a task; when this returns it [waits](Gate::waits).
pub(crate) async fn begin_waiting<F>(call: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let gate = Gate::default();
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.waits(call).await }
    });
    gate.begun().await;
    waiting
}
