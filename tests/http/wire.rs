//! Requests as bytes, for what a well-behaved client does not send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stage::PATIENCE;

/// Sends bytes and gives what comes back until the server closes the connection: the request should say `connection: close`.
pub(crate) async fn exchange(to: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // A server that has seen enough may close the connection before it has read all.
    let _ = stream.write_all(request.as_ref()).await;
    let mut reply = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("an answer in time");
    String::from_utf8_lossy(&reply).into_owned()
}

/// Sends a request and stays connected, without waiting for an answer.
pub(crate) async fn begin(to: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}
