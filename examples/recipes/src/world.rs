//! The world outside, where doing something twice would be seen: a file with a line for each effect.
//!
//! It knows keys, as payment and mail providers do: what it is asked for twice under one key it does once. Only `mail` asks without one.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct World {
    file: Arc<PathBuf>,
    /// The process ends with the first effect, before anybody hears of it.
    kills: bool,
}

impl World {
    pub(crate) fn new(file: PathBuf, kills: bool) -> Self {
        Self { file: Arc::new(file), kills }
    }

    /// Does it, unless it was done under this key.
    ///
    /// # Errors
    ///
    /// Of an error nobody knows whether it was done, but for `ConnectionRefused`: then it was not.
    pub(crate) fn do_once(&self, key: &str, what: &str) -> io::Result<()> {
        self.write(&format!("{what} [{key}]\n"), true)
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// As of [`do_once`](Self::do_once).
    pub(crate) fn do_it(&self, what: &str) -> io::Result<()> {
        self.write(&format!("{what}\n"), false)
    }

    fn write(&self, line: &str, once: bool) -> io::Result<()> {
        if self.file.with_extension("refuses").exists() {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&*self.file)?;
        file.lock()?;
        let mut done = String::new();
        file.rewind()?;
        file.read_to_string(&mut done)?;
        if !once || !done.contains(line) {
            file.write_all(line.as_bytes())?;
        }
        if self.kills {
            std::process::abort();
        }
        // What a wire does that breaks before the answer.
        let loses_answers = self.file.with_extension("loses-an-answer");
        if fs::remove_file(loses_answers).is_ok() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}
