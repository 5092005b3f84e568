//! The world outside, where doing something twice would be seen: a file with a line for each effect.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct World(Arc<PathBuf>);

impl World {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(Arc::new(path))
    }

    pub(crate) fn do_something(&self, what: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&*self.0)?;
        // One write, so that lines of several processes do not mix.
        file.write_all(format!("{what}\n").as_bytes())
    }
}
