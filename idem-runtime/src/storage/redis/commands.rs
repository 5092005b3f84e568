//! Commands of others over the connections that the storage knows how to make: to one server, a
//! sentinels' primary, a cluster.

use std::fmt;
use std::time::Duration;

use redis::{Cmd, Value};

use super::address::{RedisAddress, redacted};
use super::connect::transport;
use super::error::CommandError;
use super::tls::Certificates;
use super::transport::{Timeouts, Transport};
use crate::storage::{StorageError, StorageErrorKind};

/// How long connecting, or a reply, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection that is made when the first command is sent.
pub struct Commands {
    transport: Box<dyn Transport>,
    server: String,
}

/// Why a command failed.
#[derive(Debug)]
pub struct Refusal {
    /// The error for the caller.
    pub error: StorageError,
    /// It is about this command or its key; another one may succeed.
    pub is_of_this_key: bool,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Commands {
    /// # Errors
    ///
    /// Those of the address.
    pub fn new(url: &str) -> Result<Self, StorageError> {
        let server = redacted(url);
        let address = RedisAddress::parse(url)?;
        let certificates = Certificates::default();
        certificates.check(&address, &server)?;
        let timeouts = Timeouts { connect: PATIENCE, response: PATIENCE };
        let transport = transport(address, certificates, timeouts, &server, None)?;
        Ok(Self { transport, server })
    }

    /// The address without its password.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Sends a command whose answer does not matter as long as it is none of failure.
    pub async fn send(&self, command: &Cmd) -> Result<(), Refusal> {
        let reply = self.transport.send(command).await;
        let answer = reply.and_then(|reply| Ok(reply.extract_error()?));
        answer.map(|_: Value| ()).map_err(|fault| {
            let is_of_this_key = fault.is_refusal() || fault.is_wrong_type();
            let error = if fault.is_wrong_type() {
                let text = format!(
                    "redis at {} holds something else under the name of the stream",
                    self.server
                );
                StorageError::new(StorageErrorKind::Corrupt, text)
            } else {
                CommandError::into_storage_error(fault, &self.server)
            };
            Refusal { error, is_of_this_key }
        })
    }
}
