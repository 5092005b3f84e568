//! What a test has seen of the library: its log, and the texts that it shows.

use std::error::Error as _;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use idem_runtime::Error;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

/// Hears nothing, but is there: while a process has one subscriber alone, tracing asks only the thread that comes to a
/// log line first whether anybody wants it, and where that is another test's, the line is off for this one too.
static BYSTANDER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// Everything that was logged or shown.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    /// What this thread logs is seen until the guard is dropped.
    pub(crate) fn log(&self) -> DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone())
            .with_ansi(false)
            .finish();
        LazyLock::force(&BYSTANDER);
        tracing::subscriber::set_default(subscriber)
    }

    /// An error, with its sources, in every way in which it is shown.
    pub(crate) fn error(&self, error: &Error) {
        self.text(&format!("{error} {error:?} {error:#?}"));
        let mut source = error.source();
        while let Some(error) = source {
            self.text(&format!("{error} {error:?}"));
            source = error.source();
        }
    }

    pub(crate) fn text(&self, text: &str) {
        writeln!(self.0.lock().unwrap(), "{text}").unwrap();
    }

    pub(crate) fn all(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Seen {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
