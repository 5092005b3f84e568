//! Whose key it is.

use std::borrow::Cow;
use std::fmt;

use http::request::Parts;
use idem_runtime::internal::hex;
use sha2::{Digest, Sha256};

/// Who sends a request, as the application's authentication has found out. One principal's keys are another one's strangers: they neither
/// replay nor block each other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal(Option<String>);

impl Principal {
    /// Somebody with a name of their own: a user's or an account's id, not a name that somebody else may take over.
    pub fn named(name: impl fmt::Display) -> Self {
        Self(Some(name.to_string()))
    }

    /// Nobody in particular: all such requests share their keys, so that whoever knows a key and repeats the request sees its response.
    pub fn anonymous() -> Self {
        Self(None)
    }

    /// Whether it is a name that got lost on the way.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.as_deref() == Some("")
    }

    /// The name under which the storage separates this principal's keys: no two principals have the same.
    pub(crate) fn tenant(&self) -> Option<Cow<'_, str>> {
        let name = self.0.as_deref()?;
        // A tenant may have 128 bytes with escapes of three, so that one of 42 fits whatever is in it.
        if name.len() <= 42 && !name.starts_with(HASHED) {
            return Some(Cow::Borrowed(name));
        }
        Some(Cow::Owned(format!("{HASHED}{}", hex(&Sha256::digest(name)))))
    }
}

/// Begins the tenant of a principal whose name is hashed. A name that begins like this itself is hashed too.
const HASHED: &str = "sha256-";

impl fmt::Debug for Principal {
    /// Names are personal data: only whether there is one is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Principal::named(…)"
        } else {
            "Principal::anonymous()"
        })
    }
}

/// Finds out who sends a request; closures from the request's head to a [`Principal`] are one.
///
/// The layer asks it for every request with a key. It must go by what authentication has verified, such as an extension that it has put into
/// the request, and give `None` where that is missing: the request is then refused with [`PrincipalUnknown`](crate::ProblemKind).
pub trait ResolvePrincipal: Send + Sync + 'static {
    /// Who it is.
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

/// Everybody is nobody: for services without authentication, whose keys nobody can guess.
pub fn anonymous() -> impl ResolvePrincipal + Clone {
    |_: &Parts| Some(Principal::anonymous())
}

/// The principal is the text of the extension `T`, which the authentication outside of this layer has put into the request.
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
