//! The table and the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::backend::{Backend, Promise};
use crate::fault::{Fault, Tally};
use crate::oracle::{Verdict, Violation};

/// What a campaign came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    seed: u64,
    backends: BTreeMap<Backend, Row>,
}

/// What came of one backend.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    rounds: u64,
    /// Rounds in which the servers did not start or agree in time, which says nothing.
    abandoned: u64,
    faults: Tally,
    operations: u64,
    executions: u64,
    refused: u64,
    unrecorded: u64,
    overlaps_after_lost_leases: u64,
    stood_still: u64,
    losses: u64,
    violations: Vec<Broken>,
}

#[derive(Clone, Debug, Serialize)]
struct Broken {
    round: u64,
    #[serde(flatten)]
    violation: Violation,
}

impl Report {
    /// Nothing has happened yet.
    pub fn new(seed: u64) -> Self {
        Self { seed, backends: BTreeMap::new() }
    }

    /// Adds a round.
    pub fn add(&mut self, backend: Backend, round: u64, faults: &Tally, verdict: &Verdict) {
        let row = self.backends.entry(backend).or_default();
        row.rounds += 1;
        for (fault, times) in faults {
            *row.faults.entry(*fault).or_default() += times;
        }
        row.operations += verdict.operations;
        row.executions += verdict.executions;
        row.refused += verdict.refused;
        row.unrecorded += verdict.unrecorded;
        row.overlaps_after_lost_leases += verdict.overlaps_after_lost_leases;
        row.stood_still += verdict.stood_still;
        row.losses += verdict.losses;
        let broken =
            verdict.violations.iter().cloned().map(|violation| Broken { round, violation });
        row.violations.extend(broken);
    }

    /// Adds a round that came to nothing.
    pub fn abandon(&mut self, backend: Backend) {
        self.backends.entry(backend).or_default().abandoned += 1;
    }

    /// Whether nothing was broken, on any of the backends that were to be tried.
    pub fn holds(&self, tried: &[Backend]) -> bool {
        let holds = |backend| {
            let row = self.backends.get(backend);
            row.is_some_and(|row| row.rounds > 0 && row.violations.is_empty())
        };
        tried.iter().all(holds)
    }

    /// How often each fault was inflicted on a backend.
    pub fn faults(&self, backend: Backend) -> Tally {
        self.backends.get(&backend).map(|row| row.faults.clone()).unwrap_or_default()
    }

    /// How many calls were made of a backend.
    pub fn operations(&self, backend: Backend) -> u64 {
        self.backends.get(&backend).map_or(0, |row| row.operations)
    }

    /// What was broken, with the command that tries the same again.
    pub fn broken(&self) -> Vec<String> {
        let seed = self.seed;
        let rows = self
            .backends
            .iter()
            .flat_map(|(backend, row)| row.violations.iter().map(move |broken| (backend, broken)));
        let text = |(backend, Broken { round, violation }): (&Backend, &Broken)| {
            let Violation { guarantee, key, text } = violation;
            format!(
                "{guarantee} {key} {text}: cargo xtask chaos --seed {seed} --only {backend} --round {round}"
            )
        };
        rows.map(text).collect()
    }

    /// Writes it to the folder, under a name with the seed.
    pub fn write(&self, dir: &Path) {
        let report = serde_json::to_string_pretty(self).expect("a report is JSON");
        self.keep(&dir.join(format!("{}.json", self.seed)), &report);
    }

    /// Writes a file.
    pub fn keep(&self, path: &Path, text: &str) {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.and_then(|()| std::fs::write(path, text));
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(NOTHING);
        let faults = Fault::ALL.map(|fault| fault.title().to_owned());
        let mut head = vec!["backend".to_owned(), "rounds".to_owned()];
        head.extend(faults);
        head.extend(
            [
                "calls",
                "executions",
                "refused",
                "unrecorded",
                "overlaps after a lost lease",
                "losses admitted",
                "violations",
            ]
            .map(Into::into),
        );
        table.set_header(head);
        for (backend, row) in &self.backends {
            let abandoned = if row.abandoned > 0 {
                format!(" ({} abandoned)", row.abandoned)
            } else {
                String::new()
            };
            let mut cells = vec![backend.to_string(), format!("{}{abandoned}", row.rounds)];
            cells.extend(
                Fault::ALL.map(|fault| {
                    row.faults.get(&fault).map_or_else(String::new, ToString::to_string)
                }),
            );
            let losses = match backend.promise() {
                Promise::KeepsAll => "none to admit".to_owned(),
                _ => row.losses.to_string(),
            };
            cells.extend(
                [
                    row.operations,
                    row.executions,
                    row.refused,
                    row.unrecorded,
                    row.overlaps_after_lost_leases,
                ]
                .map(|count| count.to_string()),
            );
            cells.extend([losses, row.violations.len().to_string()]);
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        writeln!(f, "seed {}", self.seed)?;
        self.broken().iter().try_for_each(|broken| writeln!(f, "{broken}"))
    }
}
