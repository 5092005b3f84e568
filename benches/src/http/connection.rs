//! The least that a client can do: write a request, read until the response is whole.

use std::io::{Error, Write as _};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::payload::Arguments;

/// One connection, kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends the job of this number under its key; whether the response is a replay.
    pub(crate) async fn post(&mut self, number: usize) -> std::io::Result<bool> {
        let body = serde_json::to_vec(&Arguments::new(number))?;
        self.buffer.clear();
        write!(
            self.buffer,
            "POST /charges HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             idempotency-key: \"{number:032x}\"\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        self.buffer.extend_from_slice(&body);
        self.stream.write_all(&self.buffer).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::other("the connection was closed"));
            }
            if let Some(is_replayed) = whole(&self.buffer)? {
                return Ok(is_replayed);
            }
        }
    }
}

/// Whether a response is a replay, once all of it is there.
fn whole(bytes: &[u8]) -> std::io::Result<Option<bool>> {
    let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(Error::other)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(Error::other("no success"));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|it| it.parse().ok()).ok_or(Error::other("no length"))?;
    Ok((bytes.len() >= end + 4 + length).then(|| head.contains("\r\nidempotent-replayed: true")))
}
