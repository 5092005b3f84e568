use std::fmt;

use serde::ser;

/// Reason why a value has no canonical form.
///
/// The text names the reason and never the value, except that the message of a failing `Serialize`
/// implementation is passed on.
pub struct Error(Box<Reason>);

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("a float is not finite")]
    NotFinite,
    #[error("two members of one object have the same name")]
    DuplicateName,
    #[error("the value is nested too deeply")]
    TooDeep,
    #[error("a number's text is not a JSON number, or its exponent is out of range")]
    NumberText,
    #[error("a text is not valid JSON")]
    Text,
    #[error("a map was serialized without pairing its keys and values")]
    UnpairedMember,
    #[error("{0}")]
    Serialize(String),
}

impl From<Reason> for Error {
    #[cold]
    fn from(reason: Reason) -> Self {
        Self(Box::new(reason))
    }
}

impl ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Reason::Serialize(message.to_string()).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "canonical::Error({self})")
    }
}

impl std::error::Error for Error {}
