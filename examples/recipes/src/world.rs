//! The outside world, where a duplicate effect is visible: a file with a line for each effect.
//!
//! It deduplicates by key, as payment and mail providers do. Only `mail` makes requests without a
//! key.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct World {
    file: Arc<PathBuf>,
    /// The process aborts after the first effect, before the call returns.
    kills: bool,
}

impl World {
    pub(crate) fn new(file: PathBuf, kills: bool) -> Self {
        Self { file: Arc::new(file), kills }
    }

    /// Makes the effect, unless it was made under this key.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` proves that nothing was done. After any other error the outcome is
    /// unknown.
    pub(crate) fn do_once(&self, key: &str, what: &str) -> io::Result<()> {
        self.write(&format!("{what} [{key}]\n"), true)
    }

    /// Makes the effect.
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
        // A connection that breaks before the reply.
        let loses_answers = self.file.with_extension("loses-an-answer");
        if fs::remove_file(loses_answers).is_ok() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}
