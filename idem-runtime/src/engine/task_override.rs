//! The handle that `with` has given to a task.

use std::sync::Arc;

use super::shared::Inner;
use crate::sync::task_local;

task_local! {
    static OVERRIDE: Arc<Inner>;
}

/// The task's handle, to be taken along to another task.
#[derive(Default)]
pub(crate) struct Override(pub(super) Option<Arc<Inner>>);

impl Override {
    pub(crate) fn current() -> Self {
        Self(OVERRIDE.try_with(Arc::clone).ok())
    }

    pub(crate) async fn scope<F: Future>(self, future: F) -> F::Output {
        match self.0 {
            Some(inner) => OVERRIDE.scope(inner, future).await,
            None => future.await,
        }
    }
}
