//! One connection through the proxy.

use std::{cell::Cell, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

use super::faults::{Ending, Fate, Faults, Then};

/// Large enough that a request or a reply of a test is one read.
const CHUNK: usize = 256 * 1024;

/// Passes everything on in both directions until one side is done or a fault ends the connection.
pub(super) async fn relay(mut client: TcpStream, mut server: TcpStream, faults: Arc<Faults>) {
    let _open = Open::count(&faults);
    let reply_lost = Cell::new(None);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let requests = pass_requests(from_client, to_server, &faults, &reply_lost);
    let replies = pass_replies(from_server, to_client, &faults, &reply_lost);
    // An error means that one side is gone, which is an end like any other. Returning closes both.
    tokio::select! {
        _ = requests => {}
        _ = replies => {}
    }
}

async fn pass_requests(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    faults: &Faults,
    reply_lost: &Cell<Option<Ending>>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = client.read(&mut buffer).await?;
        if length == 0 {
            // The client sends no more but may still be waiting for replies.
            server.shutdown().await?;
            return std::future::pending().await;
        }
        let request = &buffer[..length];
        match faults.fate_of_request(request) {
            Fate::Passes => {}
            Fate::ItsReplyIsLost(ending) => reply_lost.set(Some(ending)),
            Fate::IsLost(then) => {
                faults.count(|counts| counts.dropped_requests += 1);
                return lose_the_rest(client, then).await;
            }
        }
        wait_for(faults.request_delay()).await;
        server.write_all(request).await?;
        faults.count(|counts| counts.requests += 1);
    }
}

async fn pass_replies(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    faults: &Faults,
    reply_lost: &Cell<Option<Ending>>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = server.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if let Some(ending) = reply_lost.take().or_else(|| faults.reply_is_lost()) {
            faults.count(|counts| counts.dropped_replies += 1);
            client.write_all(&ending.instead).await?;
            return lose_the_rest(server, ending.then).await;
        }
        wait_for(faults.reply_delay()).await;
        client.write_all(&buffer[..length]).await?;
        faults.count(|counts| counts.replies += 1);
    }
}

/// Ends at once to cut the connection; hanging, only when the sender has closed it.
async fn lose_the_rest(mut from: ReadHalf<'_>, then: Then) -> io::Result<()> {
    if then == Then::Hang {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

async fn wait_for(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// Counts a connection as open while it exists, also when its task is aborted.
struct Open<'a>(&'a Faults);

impl<'a> Open<'a> {
    fn count(faults: &'a Faults) -> Self {
        faults.count(|counts| counts.open += 1);
        Self(faults)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.open -= 1);
    }
}
