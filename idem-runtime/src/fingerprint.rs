//! The fingerprint of a call, in 33 bytes.
//!
//! A key names an effect; the fingerprint identifies the requested call. The same key with another
//! fingerprint means one key for two different requests: the second gets `Mismatch` instead of the
//! other call's result.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::canonical::{self, Buffers};
use crate::error::{Error, ErrorKind};
use crate::hex;

/// The algorithm of this version: SHA-256 over canonical JSON.
const J1: u8 = 1;
const PREFIX: &str = "j1-";

const HASH_LEN: usize = 32;

/// SHA-256 over an operation's name and its canonical arguments, prefixed with a tag of the
/// algorithm.
///
/// Its text is `j1-` and 64 lower-case hex digits. It reveals nothing about arguments that cannot
/// be guessed.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::Fingerprint;
///
/// let fingerprint = Fingerprint::of("charge", &("user-7", 1999))?;
/// assert_ne!(fingerprint, Fingerprint::of("charge", &("user-7", 2000))?);
/// assert_ne!(fingerprint, Fingerprint::of("refund", &("user-7", 1999))?);
/// assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
/// # Ok::<(), idem_runtime::Error>(())
/// ```
///
/// # How another language computes it
///
/// Give the operation a `name`. Take the JSON array of the name and the arguments, in declaration
/// order, without the skipped ones; where the operation has an `instance`, the first element is the
/// array of the name and the instance; write it in the [canonical form](crate::canonical); hash its
/// UTF-8 bytes with SHA-256; write `j1-` and the hash in lower-case hex. For arguments without
/// floats that is, in Python:
///
/// ```python
/// import hashlib, json
///
/// def canonical(v):
///     if isinstance(v, dict):
///         names = sorted(v, key=lambda name: name.encode("utf-16-be"))
///         return "{" + ",".join(canonical(n) + ":" + canonical(v[n]) for n in names) + "}"
///     if isinstance(v, list):
///         return "[" + ",".join(map(canonical, v)) + "]"
///     return json.dumps(v, ensure_ascii=False)
///
/// def fingerprint(operation, *args):
///     text = canonical([operation, *args])
///     return "j1-" + hashlib.sha256(text.encode()).hexdigest()
///
/// fingerprint("charge", {"user_id": 9007199254740993, "note": "für dich"}, ["a", None])
/// # 'j1-4c28afb9d75ce412294948a30ee31eb6906f07fcbfa9187e85e469219f7cf14a'
/// ```
///
/// Floats need the number format of RFC 8785. Its libraries round integers beyond ±2^53, so use
/// them for floats only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    /// Length in bytes: the tag and the hash.
    pub const LEN: usize = 1 + HASH_LEN;

    /// The fingerprint of an operation with one argument.
    ///
    /// To give several, chain [`Fingerprinter::arg`]; a tuple here is one argument that is an
    /// array.
    ///
    /// # Errors
    ///
    /// `KeyGeneration` when the argument has no [canonical form](crate::canonical).
    pub fn of<T: Serialize + ?Sized>(operation: &str, args: &T) -> Result<Self, Error> {
        Ok(Fingerprinter::new(operation).arg(args)?.finish())
    }

    /// The tag and the hash, as a record holds them.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads what [`as_bytes`](Self::as_bytes) gave.
    ///
    /// # Errors
    ///
    /// [`WrongLength`](InvalidFingerprint::WrongLength) for damaged bytes, and
    /// [`UnknownAlgorithm`](InvalidFingerprint::UnknownAlgorithm) for bytes of a possibly newer
    /// version: a storage answers the first with
    /// [`Corrupt`](crate::storage::StorageErrorKind::Corrupt) and the second with
    /// [`NewerVersion`](crate::storage::StorageErrorKind::NewerVersion).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidFingerprint> {
        match bytes {
            // Other algorithms may have other lengths.
            [tag, ..] if *tag != J1 => Err(InvalidFingerprint::UnknownAlgorithm),
            _ => match bytes.try_into() {
                Ok(bytes) => Ok(Self(bytes)),
                Err(_) => Err(InvalidFingerprint::WrongLength),
            },
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(&hex::encode(&self.0[1..]))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let Some(digits) = text.strip_prefix(PREFIX) else {
            return Err(if names_an_algorithm(text) {
                InvalidFingerprint::UnknownAlgorithm
            } else {
                InvalidFingerprint::Malformed
            });
        };
        if digits.len() != 2 * HASH_LEN {
            return Err(InvalidFingerprint::WrongLength);
        }
        let mut bytes = vec![J1];
        bytes.extend(hex::decode(digits).ok_or(InvalidFingerprint::Malformed)?);
        bytes.try_into().map(Self).map_err(|_| InvalidFingerprint::WrongLength)
    }
}

/// Whether a text has the prefix of an algorithm: `j`, its number, `-`.
fn names_an_algorithm(text: &str) -> bool {
    let number = text.strip_prefix('j').and_then(|rest| rest.split_once('-'));
    number.is_some_and(|(number, _)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Reason why bytes or a text are not a fingerprint of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFingerprint {
    /// Too short or too long: truncated, or not a fingerprint.
    #[error("not a fingerprint: its length is wrong")]
    WrongLength,
    /// Its tag names an unknown algorithm: a newer version may have written it.
    #[error("the fingerprint's algorithm is unknown to this version")]
    UnknownAlgorithm,
    /// The text has an invalid character.
    #[error("not the text of a fingerprint")]
    Malformed,
}

/// Computes a [`Fingerprint`] argument by argument.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::fingerprint::Fingerprinter;
///
/// let by_hand = Fingerprinter::new("charge").arg("user-7")?.arg(&1999)?.finish();
/// # let again = Fingerprinter::new("charge").arg("user-7")?.arg(&1999)?.finish();
/// # assert_eq!(by_hand, again);
/// # Ok::<(), idem_runtime::Error>(())
/// ```
#[must_use]
pub struct Fingerprinter {
    buffers: Buffers,
    arguments: usize,
}

impl Fingerprinter {
    /// Begins the fingerprint of a call of `operation`.
    pub fn new(operation: &str) -> Self {
        let mut buffers = Buffers::take();
        buffers.out.push(b'[');
        buffers.append_str(operation);
        Self { buffers, arguments: 0 }
    }

    /// Begins the fingerprint of a call of one instance of `operation`, such as a generic function
    /// with its types: instances are different operations.
    ///
    /// In the JSON array the pair of the operation's name and `instance` takes the place of the
    /// name.
    ///
    /// # Errors
    ///
    /// `KeyGeneration` when the instance has no [canonical form](crate::canonical).
    pub fn of_instance<T: Serialize + ?Sized>(
        operation: &str,
        instance: &T,
    ) -> Result<Self, Error> {
        let mut buffers = Buffers::take();
        buffers.out.extend_from_slice(b"[[");
        buffers.append_str(operation);
        buffers.out.push(b',');
        if let Err(error) = buffers.append(instance) {
            let text = "the instance has no canonical form to fingerprint";
            return Err(Error::new(ErrorKind::KeyGeneration, text).with_source(error));
        }
        buffers.out.push(b']');
        Ok(Self { buffers, arguments: 0 })
    }

    /// Adds the next argument.
    ///
    /// # Errors
    ///
    /// `KeyGeneration` when the argument has no [canonical form](crate::canonical).
    pub fn arg<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        self.arguments += 1;
        self.buffers.out.push(b',');
        match self.buffers.append(value) {
            Ok(()) => Ok(self),
            Err(error) => Err(not_canonical(self.arguments, error)),
        }
    }

    /// The fingerprint of the operation and the arguments so far.
    pub fn finish(mut self) -> Fingerprint {
        self.buffers.out.push(b']');
        let mut bytes = [J1; Fingerprint::LEN];
        bytes[1..].copy_from_slice(&Sha256::digest(&self.buffers.out));
        self.buffers.give_back();
        Fingerprint(bytes)
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprinter").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

#[cold]
fn not_canonical(argument: usize, error: canonical::Error) -> Error {
    let message = format!("argument {argument} has no canonical form to fingerprint");
    Error::new(ErrorKind::KeyGeneration, message).with_source(error)
}
