//! A lock that may be let go too early.

use std::ops::{Deref, DerefMut};

use shuttle_parking_lot as parking_lot;

use super::mistake::{self, Mistake};

#[derive(Debug, Default)]
pub struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { guard: self.0.lock(), changes: false }
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

pub struct MutexGuard<'m, T> {
    guard: parking_lot::MutexGuard<'m, T>,
    /// What it protects may have been changed.
    changes: bool,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        if self.changes && mistake::is(Mistake::LetsGoTooEarly) {
            parking_lot::MutexGuard::unlocked(&mut self.guard, || {});
        }
        self.changes = true;
        &mut self.guard
    }
}
