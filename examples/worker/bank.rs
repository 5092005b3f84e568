//! The bank, with a ledger that knows nothing of idempotency records: a file that every worker appends whole lines to.
//!
//! | line | is written |
//! |---|---|
//! | `run ⇥ order ⇥ worker ⇥ attempt` | first thing in every execution |
//! | `booked ⇥ order ⇥ amount ⇥ currency` | when the bank books a charge |
//! | `repeat ⇥ order` | when the bank is asked for an order that it has booked, and does not book it again |

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use crate::orders::Order;

/// Starts an empty ledger.
pub(crate) fn create(path: &Path) -> anyhow::Result<()> {
    File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(())
}

/// A worker's line to the bank.
pub(crate) struct Bank {
    worker: u32,
    takes: Duration,
    book: Mutex<Book>,
}

struct Book {
    file: File,
    /// The same file, read on from where it was read to before.
    lines: BufReader<File>,
    booked: HashSet<String>,
}

impl Bank {
    pub(crate) fn open(path: &Path, worker: u32, takes: Duration) -> io::Result<Self> {
        let file = File::options().append(true).open(path)?;
        let lines = BufReader::new(File::open(path)?);
        let book = Mutex::new(Book { file, lines, booked: HashSet::new() });
        Ok(Self { worker, takes, book })
    }

    /// Charges an order. A worker that is killed while the answer is on its way has charged and does not know it.
    pub(crate) async fn charge(&self, order: &Order, attempt: u64) -> io::Result<()> {
        let line = format!("run\t{}\t{}\t{attempt}\n", order.id, self.worker);
        self.book().file.write_all(line.as_bytes())?;
        tokio::time::sleep(self.takes / 2).await;
        self.book().charge(order)?;
        tokio::time::sleep(self.takes / 2).await;
        Ok(())
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Books once per order, whichever worker asks: a lock on the file makes look and entry one step.
    fn charge(&mut self, order: &Order) -> io::Result<()> {
        self.file.lock()?;
        let written = self.read_on().and_then(|()| {
            let Order { id, amount, currency, .. } = order;
            let line = if self.booked.contains(id) {
                format!("repeat\t{id}\n")
            } else {
                format!("booked\t{id}\t{amount}\t{currency}\n")
            };
            self.file.write_all(line.as_bytes())
        });
        self.file.unlock()?;
        written
    }

    fn read_on(&mut self) -> io::Result<()> {
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            if let Some(("booked", rest)) = line.trim_end().split_once('\t') {
                self.booked.extend(rest.split('\t').next().map(str::to_owned));
            }
            line.clear();
        }
        Ok(())
    }
}

/// What the ledger says in the end.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By order, the workers and attempts of its executions, in their order.
    pub(crate) runs: HashMap<String, Vec<Run>>,
    /// By order, the charges that were booked.
    pub(crate) booked: HashMap<String, Vec<(u64, String)>>,
    /// How often the bank was asked again for an order that it had booked.
    pub(crate) repeats: usize,
}

pub(crate) struct Run {
    pub(crate) worker: u32,
    pub(crate) attempt: u64,
}

impl Ledger {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)?;
        let mut ledger = Self::default();
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["run", order, worker, attempt] => {
                    let run = Run { worker: worker.parse()?, attempt: attempt.parse()? };
                    ledger.runs.entry(order.to_owned()).or_default().push(run);
                }
                ["booked", order, amount, currency] => {
                    let charge = (amount.parse()?, currency.to_owned());
                    ledger.booked.entry(order.to_owned()).or_default().push(charge);
                }
                ["repeat", _] => ledger.repeats += 1,
                _ => anyhow::bail!("a line of the ledger is damaged: {line:?}"),
            }
        }
        Ok(ledger)
    }
}
