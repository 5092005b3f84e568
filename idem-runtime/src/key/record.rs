//! The names under which storages hold records.

use std::borrow::Borrow;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::escape::Escaping;
use super::text::Key;
use crate::error::{Error, ErrorKind};

const SEPARATOR: char = ':';

/// The name of a record in a storage: `namespace:tenant:key`.
///
/// In namespace and tenant `%`, `:` and control characters are percent-escaped, and the key is as
/// it is; so the first two colons are the separators and no two triples give the same name. Without
/// a tenant the middle is empty, which no tenant's is.
///
/// ```
/// use idem_runtime::{Key, RecordKey};
///
/// let key = Key::new("payment:42")?;
/// assert_eq!(RecordKey::new("billing", None, &key)?.as_str(), "billing::payment:42");
/// assert_eq!(RecordKey::new("billing", Some("a:b"), &key)?.as_str(), "billing:a%3Ab:payment:42");
/// # Ok::<(), idem_runtime::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(Arc<str>);

impl RecordKey {
    /// Longest name in bytes.
    pub const MAX_LEN: usize = 2 * (Self::MAX_SCOPE_LEN + SEPARATOR.len_utf8()) + Key::MAX_LEN;

    /// Longest namespace, and longest tenant, in bytes and as they are written: an escape counts as
    /// three.
    pub const MAX_SCOPE_LEN: usize = 128;

    /// The name of `key`'s record in `namespace`, for `tenant` where there is one.
    ///
    /// # Errors
    ///
    /// [`KeyGeneration`](ErrorKind::KeyGeneration) when the namespace or the tenant is longer than
    /// [`MAX_SCOPE_LEN`](Self::MAX_SCOPE_LEN), or when the tenant is given but empty: a tenant that
    /// got lost on the way must not end up among those who have none.
    pub fn new(namespace: &str, tenant: Option<&str>, key: &Key) -> Result<Self, Error> {
        if tenant == Some("") {
            return Err(Error::new(ErrorKind::KeyGeneration, "the tenant is empty"));
        }
        let tenant = tenant.unwrap_or_default();
        let key = key.as_str();
        let capacity = namespace.len().saturating_add(tenant.len() + key.len() + 2);
        let mut name = String::with_capacity(capacity.min(Self::MAX_LEN));
        push_scope(&mut name, namespace, "the namespace is longer than 128 bytes")?;
        push_scope(&mut name, tenant, "the tenant is longer than 128 bytes")?;
        name.push_str(key);
        Ok(Self(name.into()))
    }

    /// The name as a storage found it, for [`scan`](crate::storage::Storage::scan).
    pub fn from_stored(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn push_scope(name: &mut String, scope: &str, too_long: &'static str) -> Result<(), Error> {
    let limit = name.len() + RecordKey::MAX_SCOPE_LEN;
    Escaping::new(name, limit, Some(SEPARATOR))
        .write_str(scope)
        .map_err(|_| Error::new(ErrorKind::KeyGeneration, too_long))?;
    name.push(SEPARATOR);
    Ok(())
}

impl Borrow<str> for RecordKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
