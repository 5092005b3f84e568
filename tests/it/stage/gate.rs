//! Calls that are held back at a place that a test knows.

use std::sync::Arc;

use tokio::sync::Semaphore;

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

    /// Waits until a body has come to the gate.
    pub(crate) async fn begun(&self) {
        in_time(self.begun.acquire()).await.unwrap().forget();
    }

    /// Lets everybody pass from now on.
    pub(crate) fn open(&self) {
        self.opened.add_permits(1);
    }
}
