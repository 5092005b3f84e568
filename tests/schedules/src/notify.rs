//! Wake-ups that may be lost.

use std::pin::Pin;
use std::task::{Context, Poll};

use shuttle_tokio::sync::{self, futures};

use super::mistake::{self, Mistake};

#[derive(Debug)]
pub struct Notify(sync::Notify);

impl Notify {
    pub fn new() -> Self {
        Self(sync::Notify::new())
    }

    pub fn notified(&self) -> Notified<'_> {
        let is_late = mistake::is(Mistake::RegistersLate);
        Notified { notify: self, registered: (!is_late).then(|| Box::pin(self.0.notified())) }
    }

    pub fn notify_one(&self) {
        if !mistake::is(Mistake::WakesNotOne) {
            self.0.notify_one();
        }
    }

    pub fn notify_waiters(&self) {
        if !mistake::is(Mistake::WakesNone) {
            self.0.notify_waiters();
        }
    }
}

pub struct Notified<'n> {
    notify: &'n Notify,
    registered: Option<Pin<Box<futures::Notified<'n>>>>,
}

impl Notified<'_> {
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        self.registered.as_mut().is_some_and(|registered| registered.as_mut().enable())
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        let registered = self.registered.get_or_insert_with(|| Box::pin(notify.0.notified()));
        registered.as_mut().poll(context)
    }
}
