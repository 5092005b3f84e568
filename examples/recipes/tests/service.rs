//! A recipe that is a service, and the little of HTTP that its clients need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::programs::Place;

pub(crate) struct Service {
    process: Child,
    stdout: BufReader<ChildStdout>,
    addr: String,
}

impl Service {
    pub(crate) fn start(place: &Place, recipe: &str) -> Self {
        let mut process = place.start(recipe, &[]);
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { process, stdout, addr }
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) fn begin(&self, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The status and the whole answer.
    pub(crate) fn post(&self, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut answer = String::new();
        self.begin(path, headers, body).read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    /// Waits until it says this.
    pub(crate) fn wait_for(&mut self, line: &str) {
        let mut said = String::new();
        while said.trim() != line {
            said.clear();
            assert_ne!(self.stdout.read_line(&mut said).unwrap(), 0, "it never says {line}");
        }
    }

    /// Asks it to end, as a platform does, and gives what it said last.
    pub(crate) fn stop(mut self) -> String {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM).unwrap();
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        assert!(self.process.wait().unwrap().success());
        said
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
