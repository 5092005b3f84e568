//! The names of records in storages.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use once_cell::sync::Lazy;

use super::escape::Escaping;
use super::text::{Key, Space};
use crate::error::{Error, ErrorKind};
use crate::key_hash::key_hash;
use crate::sync::DefaultHashBuilder;

const SEPARATOR: char = ':';

/// The name of a record in a storage: `namespace:tenant:space:key`.
///
/// In namespace and tenant `%`, `:` and control characters are percent-escaped, the
/// [space](Key#key-spaces) is a word, and the key's text is not escaped. So the first three colons
/// are the separators, and different keys or tenants never share a name. Without a tenant its part
/// is empty; a tenant is never empty.
///
/// ```
/// # use idem_runtime as idempotency;
/// use idempotency::key::{KeyBuilder, RecordKey};
/// use idempotency::Key;
///
/// let key = Key::new("payment:42")?;
/// assert_eq!(RecordKey::new("billing", None, &key)?.as_str(), "billing::key:payment:42");
/// let key = KeyBuilder::new(32).literal("payment:").value("id", &42)?.finish()?;
/// let name = RecordKey::new("billing", Some("a:b"), &key)?;
/// assert_eq!(name.as_str(), "billing:a%3Ab:template:payment:(42)");
/// # Ok::<(), idem_runtime::Error>(())
/// ```
///
/// `Display` and `Debug` show the whole name, for tools that list records. It may hold personal
/// data: in logs use [`key_hash`](Self::key_hash). This crate never logs names.
#[derive(Clone)]
pub struct RecordKey {
    name: Arc<str>,
    /// Hash of the name, shared by several tables of this process.
    hash: u64,
}

/// Seeded at random, so that no caller can choose colliding keys.
static HASHER: Lazy<DefaultHashBuilder> = Lazy::new(DefaultHashBuilder::default);

impl RecordKey {
    /// Longest name in bytes.
    pub const MAX_LEN: usize = 2 * (Self::MAX_SCOPE_LEN + SEPARATOR.len_utf8())
        + Space::Template.name().len()
        + SEPARATOR.len_utf8()
        + Key::MAX_LEN;

    /// Longest namespace, and longest tenant, in bytes after escaping: an escape counts as three.
    pub const MAX_SCOPE_LEN: usize = 128;

    /// The name of `key`'s record in `namespace`, for an optional `tenant`.
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](ErrorKind::KeyGeneration) when the namespace or the tenant is longer than
    /// [`MAX_SCOPE_LEN`](Self::MAX_SCOPE_LEN), or when the tenant is given but empty: a lost tenant
    /// must not share the records of calls without a tenant.
    pub fn new(namespace: &str, tenant: Option<&str>, key: &Key) -> Result<Self, Error> {
        if tenant == Some("") {
            return Err(Error::new(ErrorKind::KeyGeneration, "the tenant is empty"));
        }
        let tenant = tenant.unwrap_or_default();
        let (space, key) = (key.space().name(), key.as_str());
        let capacity = namespace.len().saturating_add(tenant.len() + space.len() + key.len() + 3);
        let mut name = String::with_capacity(capacity.min(Self::MAX_LEN));
        push_scope(&mut name, namespace, "the namespace is longer than 128 bytes")?;
        push_scope(&mut name, tenant, "the tenant is longer than 128 bytes")?;
        name.push_str(space);
        name.push(SEPARATOR);
        name.push_str(key);
        Ok(Self::from_stored(name))
    }

    /// Wraps a stored name, for [`scan`](crate::storage::Storage::scan).
    pub fn from_stored(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { hash: HASHER.hash_one(&*name), name }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The field `key_hash` of this crate's log lines and spans: sixteen hex digits of SHA-256 of
    /// the name, the same in every process. A [`scan`](crate::storage::Storage::scan) finds the
    /// record of a log line by it.
    ///
    /// It hides a name from casual readers, not from anyone who can guess it.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// use idempotency::key::RecordKey;
    ///
    /// let name = RecordKey::from_stored("billing::key:payment:42");
    /// assert_eq!(name.to_string(), "billing::key:payment:42");
    /// assert_eq!(name.key_hash(), "ac3de0dea5b3823e");
    /// ```
    pub fn key_hash(&self) -> String {
        key_hash(self.as_str())
    }

    /// The name, shared.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A hash of the name, different in every process.
    pub(crate) fn name_hash(&self) -> u64 {
        self.hash
    }
}

fn push_scope(name: &mut String, scope: &str, too_long: &'static str) -> Result<(), Error> {
    write_scope(name, scope).map_err(|_| Error::new(ErrorKind::KeyGeneration, too_long))?;
    name.push(SEPARATOR);
    Ok(())
}

fn write_scope(name: &mut String, scope: &str) -> fmt::Result {
    let limit = name.len() + RecordKey::MAX_SCOPE_LEN;
    Escaping::new(name, limit, SEPARATOR).write_str(scope)
}

/// Fails for a namespace or tenant that is too long.
pub(crate) fn check_scope(scope: &str) -> fmt::Result {
    write_scope(&mut String::new(), scope)
}

impl PartialEq for RecordKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name
    }
}

impl Eq for RecordKey {}

impl PartialOrd for RecordKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RecordKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

/// Equals the hash of the name, so that tables of keys can be searched by name.
impl Hash for RecordKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Borrow<str> for RecordKey {
    fn borrow(&self) -> &str {
        &self.name
    }
}

/// The whole name, which [`from_stored`](RecordKey::from_stored) takes back.
impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name, f)
    }
}
