//! Orders, and the file that they come from.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// An order of the web shop.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) customer: Customer,
    pub(crate) items: Vec<Item>,
    /// In the currency's smallest unit.
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) placed_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) name: String,
    pub(crate) country: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) quantity: u32,
    pub(crate) price: u64,
}

/// So many bad lines are shown, the others are counted.
const SHOWN: usize = 10;

/// Reads a file of orders. A line that is none is reported with its number and skipped.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Arc<Order>>> {
    let cannot_read = || format!("cannot read the orders in {}", path.display());
    let file = File::open(path).with_context(cannot_read)?;
    let mut orders = Vec::new();
    let mut seen = HashMap::new();
    let mut bad = 0;
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.with_context(cannot_read)?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = index + 1;
        match parse(&line, number, &mut seen) {
            Ok(order) => orders.push(Arc::new(order)),
            Err(error) => {
                bad += 1;
                if bad <= SHOWN {
                    eprintln!("{}:{number}: {error}; skipped", path.display());
                }
            }
        }
    }
    if bad > SHOWN {
        eprintln!("{}: {} more bad lines skipped", path.display(), bad - SHOWN);
    }
    anyhow::ensure!(!orders.is_empty(), "{} holds no order", path.display());
    Ok(orders)
}

fn parse(line: &[u8], number: usize, seen: &mut HashMap<String, usize>) -> anyhow::Result<Order> {
    let order: Order = serde_json::from_slice(line)?;
    if let Some(first) = seen.insert(order.id.clone(), number) {
        anyhow::bail!("order {} is on line {first} already", order.id);
    }
    Ok(order)
}
