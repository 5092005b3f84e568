//! Real refusals of real servers: each says which of address, TLS, login, rights, database, version or settings it is, and what to do.

mod encoding;
mod mysql;
mod pgbouncer;
mod postgres;
mod redis;
mod sqlite;

use idem_runtime::{Error, ErrorKind, Idempotency};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::chains::{assert_nothing_said_twice, chain};
use crate::stage::in_time;

/// In every password of these tests that is not right.
const PASSWORD: &str = "hunter2";

/// A port on which nothing listens.
const NOWHERE: u16 = 1;

/// A connection that is refused.
struct Refusal {
    url: String,
    kind: ErrorKind,
    /// What the text has to say.
    says: &'static [&'static str],
    /// What would lead astray.
    never: &'static [&'static str],
}

impl Refusal {
    fn new(url: impl Into<String>, kind: ErrorKind, says: &'static [&'static str]) -> Self {
        Self { url: url.into(), kind, says, never: &[] }
    }

    /// Somebody has to change something.
    fn configuration(url: impl Into<String>, says: &'static [&'static str]) -> Self {
        Self::new(url, ErrorKind::Configuration, says)
    }

    /// It may be otherwise in a moment.
    fn passing(url: impl Into<String>, says: &'static [&'static str]) -> Self {
        Self::new(url, ErrorKind::Storage, says)
    }

    fn never(self, never: &'static [&'static str]) -> Self {
        Self { never, ..self }
    }

    /// Connects, and looks at the error.
    async fn hold(self) {
        let connected = in_time(Idempotency::connect(&self.url)).await;
        let Err(error) = connected else {
            panic!("connected, and should not have been for {:?}", self.says)
        };
        self.judge(&error);
    }

    #[track_caller]
    fn judge(&self, error: &Error) {
        let whole = format!("{error} {error:?} {:?}", chain(error));
        assert_eq!(error.kind(), self.kind, "{whole}");
        for words in self.says {
            assert!(error.to_string().contains(words), "`{words}` is not in: {whole}");
        }
        for words in self.never {
            assert!(!error.to_string().contains(words), "`{words}` is in: {whole}");
        }
        assert!(!whole.contains(PASSWORD), "the password is in: {whole}");
        assert_nothing_said_twice(error);
    }
}

async fn hold_all(refusals: Vec<Refusal>) {
    for refusal in refusals {
        refusal.hold().await;
    }
}

/// The address with another login.
fn signed_in(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{user}:{password}@{host}")
}

/// The address with another database.
fn on_database(url: &str, database: &str) -> String {
    format!("{}/{database}", &url[..url.rfind('/').unwrap()])
}

/// The address of something that says what no database would, and hangs up.
async fn stranger() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    address
}
