//! The rows, as a table and as JSON.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// One figure beside its limit. What does not apply is `null`.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) storage: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) callers: usize,
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) limit_ops_per_s: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Commands or statements that go to the server.
    pub(crate) commands_per_op: Option<f64>,
    pub(crate) commits_per_op: Option<f64>,
    /// Time on the processor that a call takes of this process.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) limit_cpu_us: Option<f64>,
    /// What `limit_ops_per_s` is the figure of.
    pub(crate) limit_is: &'static str,
    pub(crate) bytes: Option<u64>,
    /// What else was found.
    pub(crate) note: String,
    /// What was promised, and whether this run kept it.
    pub(crate) target: Option<String>,
    pub(crate) met: Option<bool>,
}

impl Row {
    pub(crate) fn new(storage: &'static str, scenario: &'static str, callers: usize) -> Self {
        Self {
            storage,
            scenario,
            callers,
            ops_per_s: None,
            limit_ops_per_s: None,
            ratio: None,
            p50_us: None,
            p99_us: None,
            commands_per_op: None,
            commits_per_op: None,
            cpu_us: None,
            limit_cpu_us: None,
            limit_is: "",
            bytes: None,
            note: String::new(),
            target: None,
            met: None,
        }
    }

    /// Adds something that was found besides what the row says already.
    pub(crate) fn remark(&mut self, text: &str) {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(text);
    }

    /// Adds something promised besides what the row promises already.
    pub(crate) fn promise(&mut self, text: &str, met: bool) {
        let target =
            self.target.take().map_or_else(|| text.to_owned(), |it| format!("{it}, {text}"));
        self.target = Some(target);
        self.met = Some(self.met.unwrap_or(true) && met);
    }
}

#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.0.extend(rows);
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header([
            "storage",
            "scenario",
            "callers",
            "ops/s",
            "limit",
            "ratio",
            "p50 µs",
            "p99 µs",
            "cpu µs",
            "limit",
            "cmds",
            "commits",
            "limit is, and more",
            "target",
            "met",
        ]);
        for row in &self.0 {
            let mut more = vec![row.limit_is.to_owned(), row.note.clone()];
            more.extend(row.bytes.map(|bytes| format!("{bytes} bytes")));
            more.retain(|text| !text.is_empty());
            table.add_row([
                row.storage.to_owned(),
                row.scenario.to_owned(),
                row.callers.to_string(),
                number(row.ops_per_s, 0),
                number(row.limit_ops_per_s, 0),
                number(row.ratio, 2),
                number(row.p50_us, 1),
                number(row.p99_us, 1),
                number(row.cpu_us, 2),
                number(row.limit_cpu_us, 2),
                number(row.commands_per_op, 2),
                number(row.commits_per_op, 2),
                more.join("; "),
                row.target.clone().unwrap_or_default(),
                row.met.map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
            ]);
        }
        for column in table.column_iter_mut().skip(2).take(10) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, serde_json::to_vec_pretty(&self.0)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map(|value| format!("{value:.decimals$}")).unwrap_or_default()
}
