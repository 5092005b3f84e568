//! The owner of a key.

use std::borrow::Cow;
use std::fmt;

use http::request::Parts;
use idem_runtime::internal::hex;
use sha2::{Digest, Sha256};

/// The sender of a request, as the application's authentication has established it. Keys of
/// different principals neither replay nor block each other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal(Option<String>);

impl Principal {
    /// A principal with a permanent name: the id of a user or an account, not a name that another
    /// may take over.
    pub fn named(name: impl fmt::Display) -> Self {
        Self(Some(name.to_string()))
    }

    /// No principal: all such requests share their keys. A sender who knows a key and repeats the
    /// request gets its response.
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// Whether the name is empty, which is a mistake of the resolver.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.as_deref() == Some("")
    }

    /// The tenant of this principal's keys. No two principals share a tenant.
    pub(crate) fn tenant(&self) -> Option<Cow<'_, str>> {
        let name = self.0.as_deref()?;
        // A tenant may have 128 bytes with escapes of three, so that one of 42 fits whatever is in
        // it.
        if name.len() <= 42 && !name.starts_with(HASHED) {
            return Some(Cow::Borrowed(name));
        }
        Some(Cow::Owned(format!("{HASHED}{}", hex(&Sha256::digest(name)))))
    }
}

/// The prefix of a hashed name. A name with this prefix is hashed too.
const HASHED: &str = "sha256-";

impl fmt::Debug for Principal {
    /// Names are personal data and not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Principal::named(…)"
        } else {
            "Principal::anonymous()"
        })
    }
}

/// Resolves the principal of a request. Closures from the request's head to a [`Principal`]
/// implement it.
///
/// The layer calls it for every request with a key. It must rely on verified authentication, such
/// as an extension of the request, and return `None` without it: the request is then refused with
/// [`PrincipalUnknown`](crate::ProblemKind).
pub trait ResolvePrincipal: Send + Sync + 'static {
    /// The principal.
    fn resolve(&self, request: &Parts) -> Option<Principal>;
}

impl<F> ResolvePrincipal for F
where
    F: Fn(&Parts) -> Option<Principal> + Send + Sync + 'static,
{
    fn resolve(&self, request: &Parts) -> Option<Principal> {
        self(request)
    }
}

/// No principals: for services without authentication, whose keys cannot be guessed.
pub fn anonymous() -> impl ResolvePrincipal + Clone {
    |_: &Parts| Some(Principal::anonymous())
}

/// The principal is the text of the request's extension `T`, set by the authentication outside of
/// this layer.
///
/// ```
/// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
/// #[derive(Clone)]
/// struct AccountId(u64);
///
/// impl std::fmt::Display for AccountId {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "account-{}", self.0)
///     }
/// }
///
/// let idem = idempotency::Idempotency::memory();
/// let layer = idempotency::http::IdempotencyLayer::new(idem, idempotency::http::extension::<AccountId>());
/// ```
pub fn extension<T>() -> impl ResolvePrincipal + Clone
where
    T: fmt::Display + Clone + Send + Sync + 'static,
{
    |request: &Parts| request.extensions.get::<T>().map(Principal::named)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_principals_share_a_tenant() {
        let long = "x".repeat(43);
        let hashed = Principal::named(&long).tenant().unwrap().into_owned();
        let names =
            ["a", "a:b", "%3A", &long, &hashed, "sha256-", &"x".repeat(42), &"x".repeat(44)];
        let tenants: HashSet<_> = names
            .iter()
            .map(|name| Principal::named(name).tenant().unwrap().into_owned())
            .collect();
        assert_eq!(tenants.len(), names.len());
        assert!(tenants.iter().all(|tenant| tenant.len() * 3 <= 3 * 71));
    }

    #[test]
    fn nobody_has_no_tenant_and_a_blank_name_is_noticed() {
        assert_eq!(Principal::anonymous().tenant(), None);
        assert!(Principal::named("").is_blank());
        assert!(!Principal::anonymous().is_blank());
    }

    #[test]
    fn names_are_not_shown() {
        assert!(!format!("{:?}", Principal::named("alice@example.com")).contains("alice"));
    }
}
