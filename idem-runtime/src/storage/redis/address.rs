//! Addresses: which URLs are understood, and how they are shown.
//!
//! The table of them is in the [module](super)'s documentation. `valkey` may stand for `redis`.
//! User name and password are those of the servers, not of the sentinels.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::storage::{StorageError, StorageErrorKind, reach};

/// Where the servers are.
#[derive(Clone)]
pub(super) enum RedisAddress {
    Single(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        primary: String,
        /// How to log in to the primary; its host is not known yet.
        server: ConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

const SENTINEL_PORT: u16 = 26379;

impl RedisAddress {
    /// Understands a URL.
    pub(super) fn parse(url: &str) -> Result<Self, StorageError> {
        is_encoded(url)?;
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(invalid(url, "it has no scheme such as redis://"));
        };
        let scheme = scheme.to_ascii_lowercase().replacen("valkey", "redis", 1);
        match scheme.as_str() {
            "redis" | "rediss" | "unix" | "redis+unix" => {
                let url_of_client = format!("{scheme}://{rest}");
                Ok(Self::Single(server(&url_of_client, url)?))
            }
            "redis-sentinel" => Self::sentinel_url("redis", rest, url),
            "rediss-sentinel" => Self::sentinel_url("rediss", rest, url),
            "redis-cluster" => Self::cluster_url("redis", rest, url),
            "rediss-cluster" => Self::cluster_url("rediss", rest, url),
            _ => Err(invalid(
                url,
                "its scheme is none of redis, rediss, unix, redis-sentinel, redis-cluster",
            )),
        }
    }

    /// The primary that the sentinels at these URLs know as `primary`.
    pub(super) fn sentinels(urls: &[String], primary: String) -> Result<Self, StorageError> {
        let sentinels = urls.iter().map(|url| sentinel(url, url)).collect::<Result<Vec<_>, _>>()?;
        let server = match sentinels.first().map(ConnectionInfo::addr) {
            None => return Err(invalid("", "there is no sentinel in it")),
            Some(ConnectionAddr::TcpTls { .. }) => server("rediss://localhost", "")?,
            Some(_) => server("redis://localhost", "")?,
        };
        Ok(Self::Sentinel { sentinels, primary, server })
    }

    /// The cluster that the nodes at these URLs belong to.
    pub(super) fn nodes(urls: &[String]) -> Result<Self, StorageError> {
        if urls.is_empty() {
            return Err(invalid("", "there is no node in it"));
        }
        Ok(Self::Cluster(urls.iter().map(|url| server(url, url)).collect::<Result<_, _>>()?))
    }

    /// Whether the servers are reached over TLS.
    #[cfg(feature = "redis-tls")]
    pub(super) fn is_tls(&self) -> bool {
        let tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match self {
            Self::Single(server) => tls(server),
            Self::Sentinel { sentinels, server, .. } => sentinels.iter().any(tls) || tls(server),
            Self::Cluster(nodes) => nodes.iter().any(tls),
        }
    }

    /// The same servers with another login.
    pub(super) fn with_login(self, username: Option<&str>, password: &str) -> Self {
        let login = |info: ConnectionInfo| {
            let mut settings = info.redis_settings().clone().set_password(password);
            if let Some(username) = username {
                settings = settings.set_username(username);
            }
            info.set_redis_settings(settings)
        };
        match self {
            Self::Single(server) => Self::Single(login(server)),
            Self::Sentinel { sentinels, primary, server } => {
                Self::Sentinel { sentinels, primary, server: login(server) }
            }
            Self::Cluster(nodes) => Self::Cluster(nodes.into_iter().map(login).collect()),
        }
    }

    fn sentinel_url(scheme: &str, rest: &str, url: &str) -> Result<Self, StorageError> {
        let (login, hosts, path) = split(rest);
        let (primary, db) = path.split_once('/').unwrap_or((path, ""));
        if primary.is_empty() {
            return Err(invalid(url, "the name of the primary is missing behind the sentinels"));
        }
        // Any host serves to have login and database read.
        let server = server(&format!("{scheme}://{login}localhost/{db}"), url)?;
        let sentinels = hosts.split(',').map(|host| sentinel(&format!("{scheme}://{host}"), url));
        let sentinels = sentinels.collect::<Result<_, _>>()?;
        Ok(Self::Sentinel { sentinels, primary: primary.to_owned(), server })
    }

    fn cluster_url(scheme: &str, rest: &str, url: &str) -> Result<Self, StorageError> {
        let (login, hosts, path) = split(rest);
        if !matches!(path, "" | "0") {
            return Err(invalid(url, "a cluster has no databases"));
        }
        let node = |host| server(&format!("{scheme}://{login}{host}"), url);
        Ok(Self::Cluster(hosts.split(',').map(node).collect::<Result<_, _>>()?))
    }
}

/// Login with its `@`, hosts, and path without its `/`.
fn split(rest: &str) -> (&str, &str, &str) {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let login = authority.rfind('@').map_or(0, |at| at + 1);
    (&authority[..login], &authority[login..], path)
}

fn sentinel(url: &str, shown: &str) -> Result<ConnectionInfo, StorageError> {
    let sentinel = server(url, shown)?;
    let authority = url.trim_end_matches('/');
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = match sentinel.addr().clone() {
        _ if has_port => return Ok(sentinel),
        ConnectionAddr::Tcp(host, _) => ConnectionAddr::Tcp(host, SENTINEL_PORT),
        ConnectionAddr::TcpTls { host, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port: SENTINEL_PORT, insecure, tls_params }
        }
        other => other,
    };
    Ok(sentinel.set_addr(address))
}

/// Has the client read the address of one server. `shown` is the URL that the user wrote.
fn server(url: &str, shown: &str) -> Result<ConnectionInfo, StorageError> {
    is_encoded(url)?;
    let info = url.into_connection_info().map_err(|error| {
        let reason = match error.to_string() {
            text if text.contains("TLS") => "TLS needs the feature `redis-tls`",
            text if text.contains("database") => "its database is not a number",
            text if text.contains("protocol") => "its protocol is neither resp2 nor resp3",
            text if text.contains("wildcard") => "a wildcard is not an address to connect to",
            text if text.contains("path") => "the path of the socket is missing",
            _ if redacted(shown).contains("***") => {
                "it is malformed; in a user name or a password, percent-encode characters such as `#`, `/`, `?`, `@` and `%`"
            }
            _ => "it is malformed",
        };
        invalid(shown, reason)
    })?;
    // The connection tells by itself when it breaks only in RESP3.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

/// Refuses a URL in which a part of the password would be taken for something else.
fn is_encoded(url: &str) -> Result<(), StorageError> {
    if reach::is_unencoded(url) { Err(invalid(url, reach::UNENCODED)) } else { Ok(()) }
}

fn invalid(url: &str, reason: &str) -> StorageError {
    StorageError::new(
        StorageErrorKind::Configuration,
        format!("the address {} is not usable: {reason}", redacted(url)),
    )
}

/// The URL without what must not be seen: login, query and fragment.
///
/// A password with an unescaped `/`, `?`, `#` or `@` in it is hidden all the same.
pub(super) fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    let query = rest.find(['?', '#']);
    match (rest.rfind('@'), query) {
        // A socket has no login, but its path or password may have this character.
        (_, Some(query)) if scheme.contains("unix") => format!("{scheme}{}?***", &rest[..query]),
        (Some(at), Some(query)) if query < at => format!("{scheme}***"),
        (Some(at), Some(query)) => format!("{scheme}***@{}?***", &rest[at + 1..query]),
        (Some(at), None) => format!("{scheme}***@{}", &rest[at + 1..]),
        (None, Some(query)) => format!("{scheme}{}?***", &rest[..query]),
        (None, None) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_address_has_no_login_and_no_query() {
        let shown = [
            ("redis://localhost:6379/1", "redis://localhost:6379/1"),
            ("redis://:secret@localhost/1", "redis://***@localhost/1"),
            ("redis://user:secret@localhost?protocol=resp3", "redis://***@localhost?***"),
            ("redis://:sec@ret@localhost", "redis://***@localhost"),
            ("redis://:sec/ret@localhost", "redis://***@localhost"),
            ("redis://:sec?ret@localhost", "redis://***"),
            ("redis://:sec#ret@localhost", "redis://***"),
            ("unix:///redis.sock?pass=sec@ret", "unix:///redis.sock?***"),
            ("user:secret@localhost", "***@localhost"),
            ("redis-sentinel://:secret@a,b:1/main", "redis-sentinel://***@a,b:1/main"),
        ];
        for (url, expected) in shown {
            assert_eq!(redacted(url), expected);
        }
    }

    #[test]
    fn sentinels_have_a_port_of_their_own_and_no_login_of_the_servers() {
        let url = "redis-sentinel://user:p%40ss@one,two:7000,[::1]/main/3";
        let Ok(RedisAddress::Sentinel { sentinels, primary, server }) = RedisAddress::parse(url)
        else {
            panic!("{url}");
        };
        let ports = sentinels.iter().map(|sentinel| sentinel.addr().to_string());
        assert_eq!(ports.collect::<Vec<_>>(), ["one:26379", "two:7000", "::1:26379"]);
        assert!(sentinels.iter().all(|sentinel| sentinel.redis_settings().password().is_none()));
        assert_eq!(primary, "main");
        assert_eq!(server.redis_settings().username(), Some("user"));
        assert_eq!(server.redis_settings().password(), Some("p@ss"));
        assert_eq!(server.redis_settings().db(), 3);
    }

    #[cfg(not(feature = "redis-tls"))]
    #[test]
    fn tls_without_its_feature_is_an_error_that_names_it() {
        for url in ["rediss://one", "rediss-cluster://one", "rediss-sentinel://one/main"] {
            let error = RedisAddress::parse(url).err().unwrap();
            assert!(error.to_string().contains("the feature `redis-tls`"), "{error}");
        }
    }

    #[test]
    fn all_nodes_of_a_cluster_get_the_login() {
        let Ok(RedisAddress::Cluster(nodes)) =
            RedisAddress::parse("valkey-cluster://:secret@one:7000,two")
        else {
            panic!("not a cluster");
        };
        assert_eq!(nodes.len(), 2);
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("secret")));
    }
}
