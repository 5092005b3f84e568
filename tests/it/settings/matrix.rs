//! The table of settings and scenes.

use std::fmt::{self, Write as _};

use idem_runtime::storage::{StorageError, StorageErrorKind};
use idem_runtime::{Error, ErrorKind};

/// How a scene ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Each effect was there once, and each caller got what the first one got.
    Green,
    /// Nothing happened, and the caller was told what to change.
    Refused(String),
    /// Anything else.
    Broken(String),
    /// The storage has no such thing.
    Absent,
}

/// What has to come of a setting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    Green,
    /// An error before the body, with these words.
    Refused(&'static str),
}

/// Why a scene did not come to its end.
#[derive(Debug)]
pub(super) enum Failed {
    /// With an error that says what to change.
    Told(String),
    Broken(String),
    /// The error of a body.
    NotToday,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(text) | Self::Broken(text) => f.write_str(text),
            Self::NotToday => f.write_str("not today"),
        }
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        let is_told = error.kind() == StorageErrorKind::Configuration
            || is_read_only(&error)
            || error.to_string().contains("cannot connect");
        Self::of(is_told, format!("{error}"))
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let is_told = error.kind() == ErrorKind::Configuration || is_read_only(&error);
        Self::of(is_told, format!("{error}"))
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Broken(format!("the application's own statement: {error}"))
    }
}

impl Failed {
    fn of(is_told: bool, text: String) -> Self {
        if is_told { Self::Told(text) } else { Self::Broken(text) }
    }
}

/// A server that may be written to again in a moment is asked again; nobody has to change anything.
fn is_read_only(error: &dyn fmt::Display) -> bool {
    let text = error.to_string();
    text.contains("read-only") || text.contains("is a replica")
}

/// A setting, and what came of its scenes and had to come of them.
pub(super) struct Row {
    pub(super) setting: &'static str,
    pub(super) cells: Vec<(&'static str, Verdict, Expected)>,
}

impl Row {
    pub(super) fn cell(&mut self, scene: &'static str, verdict: Verdict, expected: Expected) {
        self.cells.push((scene, verdict, expected));
    }
}

/// Fails with the whole table where a cell is not what its setting says.
pub(super) fn judge(storage: &str, rows: &[Row]) {
    let mut table = format!("{storage}\n");
    let mut wrong = Vec::new();
    for row in rows {
        let _ = write!(table, "  {:<34}", row.setting);
        for (scene, verdict, expected) in &row.cells {
            let (mark, is_right) = match (verdict, *expected) {
                (Verdict::Absent, _) => ("-", true),
                (Verdict::Green, Expected::Green) => ("green", true),
                (Verdict::Green, Expected::Refused(_)) => ("GREEN?", false),
                (Verdict::Refused(text), Expected::Refused(words)) => {
                    ("refused", text.contains(words))
                }
                (Verdict::Refused(_), Expected::Green) => ("REFUSED", false),
                (Verdict::Broken(_), _) => ("BROKEN", false),
            };
            let _ = write!(table, " {scene}: {mark:<8}");
            if !is_right {
                wrong.push(format!("{}, {scene}: {verdict:?}, and not {expected:?}", row.setting));
            }
        }
        table.push('\n');
    }
    assert!(wrong.is_empty(), "{table}\n{}", wrong.join("\n"));
}
