//! The text that is stored of an error.

use std::any::type_name;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;

choices! {
    [R]
    /// The stored text of the error in `R`. First choice: its `Display` text.
    ErrorText => DebugText;
    /// Second choice: its `Debug` text.
    DebugText => TypeText;
    /// Third choice: its type's name.
    TypeText => NoText;
}

/// No choice: `R` is not a `Result`, which has been reported.
#[derive(Debug)]
pub struct NoText<R>(PhantomData<fn() -> R>);

impl<R> ErrorText<R> {
    /// The choices for a function that returns `R`.
    #[expect(clippy::new_without_default, reason = "called by expansions alone")]
    pub fn new() -> Self {
        Self(DebugText(TypeText(NoText(PhantomData))))
    }
}

impl<T, E: Display> ErrorText<Result<T, E>> {
    /// What the error displays.
    pub fn function(&self) -> fn(&E) -> String {
        |error| error.to_string()
    }
}

impl<T, E: Debug> DebugText<Result<T, E>> {
    /// How the error debugs.
    pub fn function(&self) -> fn(&E) -> String {
        |error| format!("{error:?}")
    }
}

impl<T, E> TypeText<Result<T, E>> {
    /// The name of the error's type.
    pub fn function(&self) -> fn(&E) -> String {
        |_| type_name::<E>().to_owned()
    }
}

impl<R> NoText<R> {
    /// Stands in for the others.
    pub fn function(&self) {}
}
