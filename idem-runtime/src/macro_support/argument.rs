//! The fingerprint of the arguments, and how an argument is hashed.
//!
//! An argument is hashed as it serializes. A wrapper that does not serialize, such as an axum
//! extractor, is hashed by its content. That is safe only if the wrapper holds nothing else,
//! because the fingerprint must cover everything that can change the effect (G7). Two things prove
//! it: a pattern `Json(order)` names the only field, or a type that is written `Json<Order>` derefs
//! to a value of its own size.

use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use crate::error::Error;
use crate::fingerprint::{Fingerprint, Fingerprinter};

/// Computes the fingerprint of the arguments.
#[derive(Debug)]
#[must_use]
pub struct Arguments(Result<Fingerprinter, Error>);

impl Arguments {
    /// Begins with the operation's name, and its instance where it has several.
    pub fn new(operation: &str, instance: Result<Option<String>, Error>) -> Self {
        Self(instance.and_then(|instance| match instance {
            Some(instance) => Fingerprinter::of_instance(operation, &instance),
            None => Ok(Fingerprinter::new(operation)),
        }))
    }

    /// Begins with the operation's name and the value of the option `instance`.
    pub fn of_instance<T: HashInstance + ?Sized>(operation: &str, instance: &T) -> Self {
        Self(Fingerprinter::of_instance(operation, instance))
    }

    /// Adds an argument.
    pub fn arg<T: HashArgument + ?Sized>(self, value: &T) -> Self {
        self.add(value)
    }

    /// The fingerprint.
    pub fn finish(self) -> Result<Fingerprint, Error> {
        self.0.map(Fingerprinter::finish)
    }

    fn add<T: Serialize + ?Sized>(self, value: &T) -> Self {
        Self(self.0.and_then(|fingerprinter| fingerprinter.arg(value)))
    }
}

/// An argument that is part of the fingerprint.
#[diagnostic::on_unimplemented(
    message = "an argument of the type `{Self}` cannot be hashed\n\n= help: derive `serde::Serialize` for its type, or, \
               where it does not change what the call does, leave it out of the hash: for example `#[idempotent(skip(pool))]`",
    label = "arguments are hashed, so they have to be `Serialize`"
)]
pub trait HashArgument: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> HashArgument for T {}

/// The value of the option `instance`, which tells the instances of a function apart.
#[diagnostic::on_unimplemented(
    message = "an instance of the type `{Self}` cannot be hashed\n\n= help: give a value that is `serde::Serialize`, \
               for example a constant of a trait: `instance = C::NAME`",
    label = "the instance is hashed, so it has to be `Serialize`"
)]
pub trait HashInstance: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> HashInstance for T {}

/// The role of arguments that can change the effect.
#[derive(Clone, Copy, Debug)]
pub struct Input;

/// The role of arguments that are written `State<T>`, which all handlers share.
#[derive(Clone, Copy, Debug)]
pub struct State;

/// In place of the content of a wrapper that the signature does not destructure.
#[derive(Clone, Copy, Debug)]
pub struct Opaque;

/// An argument that may be a wrapper: the argument, the content that a pattern found in it (or
/// [`Opaque`]), and its role.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a, W, H, R> {
    whole: &'a W,
    held: H,
    role: PhantomData<R>,
}

impl<'a, W, H, R> Subject<'a, W, H, R> {
    /// The argument `whole`, which holds `held`.
    pub fn of(whole: &'a W, held: H, _role: R) -> Argument<'a, W, H, R> {
        Argument(Content(Target(Shared(Unknown(Self { whole, held, role: PhantomData })))))
    }
}

choices! {
    ['a, W, H, R]
    /// First choice: the argument as it serializes.
    Argument => Content;
    /// Second choice: the content, which a pattern found or a pointer of the standard library
    /// holds.
    Content => Target;
    /// Third choice: the wrapper's deref target.
    Target => Shared;
    /// Fourth choice: nothing, of a `State` whose content does not serialize.
    Shared => Unknown;
    /// No choice is left.
    Unknown => Subject;
}

impl<W: Serialize, H, R> Argument<'_, W, H, R> {
    /// Adds the argument.
    pub fn add_to(&self, arguments: Arguments) -> Arguments {
        arguments.add(self.whole)
    }
}

impl<W, T: Serialize, R> Content<'_, W, &T, R> {
    /// Adds what the pattern found.
    pub fn add_to(&self, arguments: Arguments) -> Arguments {
        arguments.add(self.held)
    }
}

impl<T: Serialize, R> Content<'_, Arc<T>, Opaque, R> {
    /// Adds what is shared.
    pub fn add_to(&self, arguments: Arguments) -> Arguments {
        arguments.add(&**self.whole)
    }
}

impl<T: Serialize, R> Content<'_, Rc<T>, Opaque, R> {
    /// Adds what is shared.
    pub fn add_to(&self, arguments: Arguments) -> Arguments {
        arguments.add(&**self.whole)
    }
}

impl<W: Deref<Target: Serialize + Sized>, R> Target<'_, W, Opaque, R> {
    /// Adds what the wrapper derefs to.
    pub fn add_to(&self, arguments: Arguments) -> Arguments {
        const { assert!(holds_nothing_else::<W>(), "{}", AMBIGUOUS) };
        arguments.add(&**self.whole)
    }
}

impl<W: Deref<Target = T>, T> Shared<'_, W, &T, State> {
    /// Adds nothing: all calls share it.
    pub fn add_to(&self, arguments: Arguments) -> Arguments {
        arguments
    }
}

impl<W: Deref<Target: Sized>> Shared<'_, W, Opaque, State> {
    /// Adds nothing: all calls share it.
    pub fn add_to(&self, arguments: Arguments) -> Arguments {
        const { assert!(holds_nothing_else::<W>(), "{}", AMBIGUOUS) };
        arguments
    }
}

impl<W: Deref> Shared<'_, W, Opaque, Input> {
    /// Reports that the content cannot be hashed.
    pub fn add_to(&self, arguments: Arguments) -> Arguments
    where
        W::Target: HashArgument,
    {
        arguments.add(&**self.whole)
    }
}

impl<W, T, R> Unknown<'_, W, &T, R> {
    /// Reports that the content cannot be hashed.
    pub fn add_to(&self, arguments: Arguments) -> Arguments
    where
        T: HashArgument,
    {
        arguments.add(self.held)
    }
}

impl<W, R> Unknown<'_, W, Opaque, R> {
    /// Reports that the argument cannot be hashed.
    pub fn add_to(&self, arguments: Arguments) -> Arguments
    where
        W: HashArgument,
    {
        arguments.add(self.whole)
    }
}

const AMBIGUOUS: &str = "an argument holds more than it derefs to, so the hash of its content alone would not tell calls apart\n\n\
                         = help: derive `serde::Serialize` for its type, or destructure it in the signature";

/// Whether a wrapper has room for nothing but what it derefs to.
pub(super) const fn holds_nothing_else<W: Deref<Target: Sized>>() -> bool {
    size_of::<W>() == size_of::<W::Target>()
}
