//! The fingerprint of a call: SHA-256 over the operation's name and its canonical arguments.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::canonical;
use crate::error::{Error, ErrorKind};

/// SHA-256 over an operation's name and its canonical arguments, with the algorithm's tag in front.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 33]);

/// Not the bytes or the text of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint of a known algorithm")]
pub struct InvalidFingerprint(());

impl Fingerprint {
    /// Length in bytes.
    pub const LEN: usize = 33;

    /// The fingerprint of a call of `operation` with these arguments.
    pub fn of<T: Serialize + ?Sized>(operation: &str, args: &T) -> Result<Self, Error> {
        Ok(Fingerprinter::new(operation).arg(args)?.finish())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    /// The fingerprint with these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidFingerprint> {
        bytes.try_into().map(Self).map_err(|_| InvalidFingerprint(()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("j1-")?;
        self.0[1..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a fingerprint argument by argument.
#[derive(Debug)]
pub struct Fingerprinter(Vec<u8>);

impl Fingerprinter {
    /// Starts the fingerprint of a call of `operation`.
    pub fn new(operation: &str) -> Self {
        Self(operation.as_bytes().to_vec())
    }

    /// Adds an argument.
    pub fn arg<T: Serialize + ?Sized>(mut self, arg: &T) -> Result<Self, Error> {
        let bytes = canonical::to_vec(arg).map_err(|error| {
            Error::new(ErrorKind::KeyGeneration, "an argument cannot be hashed").with_source(error)
        })?;
        self.0.extend(bytes);
        Ok(self)
    }

    /// The fingerprint.
    pub fn finish(self) -> Fingerprint {
        let mut bytes = [1; 33];
        bytes[1..].copy_from_slice(&Sha256::digest(&self.0));
        Fingerprint(bytes)
    }
}
