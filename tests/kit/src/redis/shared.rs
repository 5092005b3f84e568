//! One server for all tests of a process.

use std::{env, sync::OnceLock};

use redis::Value;

use super::{
    RedisServer,
    query::{query, text_of},
};

/// Names a server that is already running, for all test processes together.
const VARIABLE: &str = "IDEM_TEST_REDIS_URL";

/// The server of [`shared`].
#[derive(Debug)]
pub struct SharedRedis {
    url: String,
    // Never dropped, being part of a static: it dies with the process.
    _server: Option<RedisServer>,
}

impl SharedRedis {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a command and gives the reply as text, the values of a list one per line.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached or answers with an error.
    #[track_caller]
    pub fn command(&self, command: &[&str]) -> String {
        match query::<Value>(&self.url, command) {
            Ok(reply) => text_of(&reply),
            Err(error) => panic!("{command:?} to the shared server: {error}"),
        }
    }
}

/// A server for all tests of this process, started when the first one asks, or the one that `IDEM_TEST_REDIS_URL` names.
///
/// Tests must keep out of each other's way by a namespace or key prefix of their own, and leave the server's configuration, scripts and
/// connections alone; those that cannot start a [`RedisServer`].
#[track_caller]
pub fn shared() -> &'static SharedRedis {
    static SHARED: OnceLock<SharedRedis> = OnceLock::new();
    SHARED.get_or_init(|| match env::var(VARIABLE) {
        Ok(url) if !url.is_empty() => SharedRedis { url, _server: None },
        _ => {
            let server = RedisServer::start();
            SharedRedis { url: server.url(), _server: Some(server) }
        }
    })
}
