//! Why a server cannot be reached, in the same words for all storages, and the check of a URL
//! before a client parses it.
//!
//! Clients report most of this only in their error texts, each in its own words.

use std::borrow::Cow;

#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::storage::StorageErrorKind;

/// Why there is no connection, as far as the client's text tells.
pub(crate) fn reason(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| text.contains(part));
    if says(&["failed to lookup address", "name or service not known", "nodename nor servname"]) {
        Some("the host name of its address cannot be resolved")
    } else if says(&["connection refused"]) {
        Some("nothing listens at its address and port")
    } else if says(&["no such file"]) {
        Some("there is no socket at its address")
    } else if says(&["timed out"]) {
        Some("it does not answer in time, or is another kind of server")
    } else if says(&["unreachable", "no route to host"]) {
        Some("there is no route to its address")
    } else {
        None
    }
}

/// Classifies the error of a client that has no connection.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn unreached(called: &str, text: &str) -> (StorageErrorKind, Cow<'static, str>) {
    if let Some(why) = refused_handshake(text) {
        return (StorageErrorKind::Configuration, format!("{called} {why}").into());
    }
    let text = because(format!("cannot connect to {called}"), reason_or_end(text));
    (StorageErrorKind::NotApplied, text)
}

/// Why there is none, as far as it shows in what became of the connection.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn reason_or_end(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let is_closed = ["at eof", "end of file", "connection reset", "broken pipe"];
    let closed = || {
        is_closed.iter().any(|part| lower.contains(part)).then_some(
            "it closed the connection before it answered, as another kind of server does",
        )
    };
    reason(text).or_else(closed)
}

/// Why a TLS handshake failed, where asking again is of no use.
pub(crate) fn refused_handshake(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|part| lower.contains(part));
    if says(&["invalid peer certificate", "certificate verify failed", "unknownissuer"]) {
        Some("shows a certificate that is not accepted")
    } else if says(&["received fatal alert"]) && !text.contains("InternalError") {
        Some(
            "refuses the TLS handshake, such as for a certificate that it does not accept or misses",
        )
    } else {
        None
    }
}

/// What is said of a URL in which a client would take a part of the password for something else.
/// Nothing of the URL is in it.
pub(crate) const UNENCODED: &str = "a user name or a password in it has a character that ends it: percent-encode such characters (`%23` for `#`, \
                                    `%2F` for `/`, `%3F` for `?`, `%40` for `@`, `%25` for `%`)";

/// Whether a client would take a part of the login for the rest of the URL. With a `#` that is
/// certain, since no address of a server has a fragment; with others where an `@` is left behind
/// them in a place where none belongs.
pub(crate) fn is_unencoded(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if rest.contains('#') {
        return true;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    if authority.is_empty() || scheme.contains("unix") {
        return false;
    }
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    let path_at = path.find('@');
    if authority.contains('@') {
        // The name of a database may have one, but nothing behind it.
        return path_at.is_some_and(|at| path[at..].contains('/'));
    }
    path_at.is_some()
        || query.split('&').next().is_some_and(|pair| pair.contains('@') && !pair.contains('='))
}

/// A text, and the reason behind it where there is one.
pub(crate) fn because(text: impl Into<String>, reason: Option<&str>) -> Cow<'static, str> {
    let mut text = text.into();
    if let Some(reason) = reason {
        text.push_str(": ");
        text.push_str(reason);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_ends_too_early_is_seen() {
        for url in [
            "postgres://user:pa#ss@host/db",
            "postgres://user:#pass@host/db",
            "postgres://user:12#3@host/db",
            "postgres://user:12/3@host:5432/db",
            "postgres://user:pa?ss@host/db",
            "postgres://us/er:pass@host/db",
            "mysql://user:p@a/ss@host/db",
            "redis://:pa/ss@host/1",
            "redis-cluster://:pa?ss@one,two",
            "unix:///redis.sock?pass=se#cret",
        ] {
            assert!(is_unencoded(url), "{url}");
        }
    }

    #[test]
    fn what_a_client_reads_as_it_was_meant_is_not_complained_of() {
        for url in [
            "postgres://user:p%23ss@host/db",
            "postgres://user:p@ss@host/db",
            "postgres://user:100%@host/db",
            "postgres://user:pass@host/db@x",
            "postgres://user:pass@host/db?application_name=a@b",
            "postgres://localhost?password=p@ss&user=u",
            "postgres:///db?host=/run/postgresql&user=a@b",
            "redis://localhost:6379/1",
            "unix:///run/a@b/redis.sock?pass=p@ss",
            "sqlite:records#1.db",
            "localhost",
        ] {
            assert!(!is_unencoded(url), "{url}");
        }
    }

    #[test]
    fn what_clients_say_is_told_apart() {
        let dns = "failed to lookup address information: Name or service not known";
        assert!(reason(dns).unwrap().contains("host name"));
        assert!(reason("Connection refused (os error 111)").unwrap().contains("nothing listens"));
        assert_eq!(reason("something else"), None);
        let unknown = "invalid peer certificate: UnknownIssuer";
        assert!(refused_handshake(unknown).unwrap().contains("certificate"));
        let alert = "received fatal alert: CertificateRequired";
        assert!(refused_handshake(alert).unwrap().contains("refuses the TLS handshake"));
        assert_eq!(refused_handshake("received fatal alert: InternalError"), None);
        assert_eq!(refused_handshake("Connection refused"), None);
    }
}
