//! A line of the ledger.

use std::fmt::Write as _;

/// What an entry tells of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It took place, and took no time.
    Once,
    /// It began.
    Start,
    /// It ended.
    Finish,
    /// It ended without finishing: its future was dropped or it panicked.
    Dropped,
    /// Its process is gone, and with it all that ran there.
    ProcessEnded,
}

impl What {
    const ALL: [(Self, &str); 5] = [
        (Self::Once, "once"),
        (Self::Start, "start"),
        (Self::Finish, "finish"),
        (Self::Dropped, "dropped"),
        (Self::ProcessEnded, "process-ended"),
    ];

    /// Whether the entry stands for an execution; each has exactly one such entry.
    pub(super) fn begins_execution(self) -> bool {
        matches!(self, Self::Once | Self::Start)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(what, _)| *what == self).map_or("", |(_, name)| name)
    }
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The machine's monotonic clock, in nanoseconds.
    pub at: u128,
    /// The process that the entry is about.
    pub pid: u32,
    /// The execution, unique within its process.
    pub run: u64,
    /// What happened.
    pub what: What,
    /// The key that the execution was for.
    pub key: String,
    /// Whatever the writer wants to find again.
    pub note: String,
}

impl Entry {
    pub(super) fn to_line(&self) -> String {
        let Self { at, pid, run, what, key, note } = self;
        let mut line = format!("{at}\t{pid}\t{run}\t{}\t", what.name());
        // Writing to a string cannot fail.
        let _ = writeln!(line, "{}\t{}", key.escape_default(), note.escape_default());
        line
    }

    #[track_caller]
    pub(super) fn parse(line: &str) -> Self {
        Self::try_parse(line).unwrap_or_else(|| panic!("this is no line of a ledger: {line:?}"))
    }

    fn try_parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let entry = Self {
            at: fields.next()?.parse().ok()?,
            pid: fields.next()?.parse().ok()?,
            run: fields.next()?.parse().ok()?,
            what: fields.next().and_then(named)?,
            key: unescape(fields.next()?)?,
            note: unescape(fields.next()?)?,
        };
        fields.next().is_none().then_some(entry)
    }
}

fn named(wanted: &str) -> Option<What> {
    What::ALL.iter().find(|(_, name)| *name == wanted).map(|(what, _)| *what)
}

/// Undoes `str::escape_default`.
fn unescape(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        plain.push(match chars.next()? {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'u' => {
                let hex: String = chars.by_ref().skip(1).take_while(|&char| char != '}').collect();
                char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?
            }
            same => same,
        });
    }
    Some(plain)
}
