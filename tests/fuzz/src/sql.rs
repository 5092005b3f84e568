//! A row of the SQL storages.

use std::cell::RefCell;

use idem_runtime::record::Timestamp;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::storage::sql::fuzzing::{COLUMNS, read};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite};
use tokio::runtime::{Builder, Runtime};

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// A column's value.
#[derive(Clone, Copy)]
enum Cell<'b> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'b str),
    Blob(&'b [u8]),
}

/// What a record that is being worked on has in its columns, and what one that is finished has.
const PROCESSING: [Cell<'static>; COLUMNS] = [
    Cell::Integer(1),
    Cell::Integer(9_000),
    Cell::Text("processing"),
    Cell::Blob(&[7; 16]),
    Cell::Integer(1),
    Cell::Blob(&[1; 33]),
    Cell::Text("retry"),
    Cell::Integer(0),
    Cell::Integer(3_000),
    Cell::Integer(5_000),
    Cell::Integer(4_000),
    Cell::Null,
    Cell::Null,
    Cell::Null,
    Cell::Null,
    Cell::Null,
    Cell::Null,
];

const TEXTS: [&str; 11] = [
    "processing",
    "completed",
    "failed",
    "retry",
    "park",
    "json",
    "error",
    "too_large",
    "unserializable",
    "indeterminate",
    "released",
];

struct Database {
    runtime: Runtime,
    connection: SqliteConnection,
}

thread_local! {
    static DATABASE: RefCell<Option<Database>> = const { RefCell::new(None) };
}

/// Columns as the bytes say. They are a record that has not expired, none, or damaged or newer.
pub(crate) fn row(bytes: &[u8]) {
    let cells = cells(bytes);
    DATABASE.with_borrow_mut(|database| {
        let Database { runtime, connection } = database.get_or_insert_with(open);
        let numbers: Vec<String> = (1..=COLUMNS).map(|number| format!("?{number}")).collect();
        let statement = sqlx::AssertSqlSafe(format!("SELECT {}", numbers.join(", ")));
        let query =
            cells.into_iter().fold(sqlx::query::<Sqlite>(statement), |query, cell| match cell {
                Cell::Null => query.bind(None::<i64>),
                Cell::Integer(number) => query.bind(number),
                Cell::Real(number) => query.bind(number),
                Cell::Text(text) => query.bind(text.to_owned()),
                Cell::Blob(blob) => query.bind(blob.to_vec()),
            });
        let row = runtime.block_on(query.fetch_one(connection)).expect("SQLite gives what it got");
        match read(&row, NOW) {
            Ok(Some(record)) => assert!(!record.is_expired(NOW)),
            Ok(None) => {}
            Err(error) => assert!(
                matches!(error.kind(), StorageErrorKind::Corrupt | StorageErrorKind::NewerVersion),
                "{error}"
            ),
        }
    });
}

fn open() -> Database {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let connection = runtime.block_on(SqliteConnection::connect("sqlite::memory:"));
    Database { connection: connection.expect("a database in memory"), runtime }
}

/// Changes some columns: each change is a column, a kind and a value.
fn cells(mut bytes: &[u8]) -> [Cell<'_>; COLUMNS] {
    let mut cells: [Cell<'_>; COLUMNS] = PROCESSING;
    while let [column, kind, rest @ ..] = bytes {
        let (number, behind) = rest.split_at(rest.len().min(8));
        let integer = number.iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
        let (short, behind_short) = rest.split_at(rest.len().min(1));
        let small = short.first().copied().unwrap_or_default();
        let (blob, behind_blob) = behind_short.split_at(behind_short.len().min(usize::from(small)));
        let (cell, behind) = match kind % 7 {
            0 => (Cell::Null, rest),
            1 => (Cell::Integer(integer), behind),
            2 => (Cell::Integer(i64::from(small)), behind_short),
            3 => (Cell::Real(f64::from_bits(integer.cast_unsigned())), behind),
            4 => (Cell::Text(TEXTS[usize::from(small) % TEXTS.len()]), behind_short),
            5 => (Cell::Blob(blob), behind_blob),
            _ => (std::str::from_utf8(blob).map_or(Cell::Null, Cell::Text), behind_blob),
        };
        cells[usize::from(*column) % COLUMNS] = cell;
        bytes = behind;
    }
    cells
}
