//! The names of our tables.
//!
//! Names are part of the statements' text, so they are checked here, once, and quoted wherever they
//! are used.

use std::fmt;

use crate::storage::{StorageError, StorageErrorKind};

/// The records' table unless another is named; the `.sql` files make it under this name.
pub(super) const DEFAULT_TABLE: &str = "idempotency_records";

/// Longest name: with a suffix it fits into the 63 bytes that Postgres allows.
const LONGEST: usize = 48;

/// How a database quotes names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "not public API")]
pub enum Quote {
    /// `"name"`: Postgres and SQLite.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        allow(dead_code, reason = "the other databases have it")
    )]
    Double,
    /// `` `name` ``: MySQL and MariaDB.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "no other database has it"))]
    Backtick,
}

/// The records' table, and the names that are made from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    schema: Option<String>,
    name: String,
    quote: Quote,
}

impl Table {
    /// A table's name, checked.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where a name is empty, longer than 48 characters, begins
    /// with a digit, or has other characters than ASCII letters, digits and `_`.
    pub fn new(schema: Option<&str>, name: &str, quote: Quote) -> Result<Self, StorageError> {
        check("table", name)?;
        if let Some(schema) = schema {
            check("schema", schema)?;
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned(), quote })
    }

    /// The table that the `.sql` files make.
    pub(super) fn standard(quote: Quote) -> Self {
        Self::standard_named(DEFAULT_TABLE, quote)
    }

    /// A table whose name needs no check.
    pub fn standard_named(name: &'static str, quote: Quote) -> Self {
        Self { schema: None, name: name.to_owned(), quote }
    }

    /// The records' table as statements name it.
    pub fn records(&self) -> String {
        self.qualified("")
    }

    /// The table that says which migrations have been applied.
    pub fn migrations(&self) -> String {
        self.qualified("_migrations")
    }

    /// The statements of a `.sql` file, which are for the table `default`, for this table. Every
    /// other name that begins with `default` is that of an index.
    pub(super) fn adapt(&self, statements: &str, default: &str) -> String {
        let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let mut adapted = String::new();
        let mut rest = statements;
        while let Some((before, after)) = rest.split_once(default) {
            let end = after.find(|char| !is_part(char)).unwrap_or(after.len());
            let (suffix, after) = after.split_at(end);
            adapted.push_str(before);
            adapted.push_str(&match suffix {
                "" | "_migrations" => self.qualified(suffix),
                _ => self.index(suffix.trim_start_matches('_')),
            });
            rest = after;
        }
        adapted + rest
    }

    /// An index of the table. It lives where its table lives, and SQL refuses a schema there.
    pub fn index(&self, suffix: &str) -> String {
        self.quoted(&format!("{}_{suffix}", self.name))
    }

    fn qualified(&self, suffix: &str) -> String {
        let name = self.quoted(&format!("{}{suffix}", self.name));
        match &self.schema {
            Some(schema) => format!("{}.{name}", self.quoted(schema)),
            None => name,
        }
    }

    fn quoted(&self, name: &str) -> String {
        match self.quote {
            Quote::Double => format!("\"{name}\""),
            Quote::Backtick => format!("`{name}`"),
        }
    }
}

fn check(what: &str, name: &str) -> Result<(), StorageError> {
    let defect = if name.is_empty() {
        "is empty"
    } else if name.len() > LONGEST {
        "is longer than 48 characters"
    } else if name.starts_with(|first: char| first.is_ascii_digit()) {
        "begins with a digit"
    } else if !name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
        "has other characters than ASCII letters, digits and `_`"
    } else {
        return Ok(());
    };
    Err(StorageError::new(StorageErrorKind::Configuration, format!("the {what}'s name {defect}")))
}

impl fmt::Display for Table {
    /// The name without quotes, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::{Quote, Table};
    use crate::storage::StorageErrorKind;

    #[test]
    fn names_that_are_no_plain_identifiers_are_refused() {
        let long = "a".repeat(49);
        for name in ["", "1st", "a b", "a\"; DROP TABLE users; --", "a.b", "é", "a`", "a-b", &long]
        {
            for (schema, table) in [(None, name), (Some(name), "records")] {
                let error = Table::new(schema, table, Quote::Double).unwrap_err();
                assert_eq!(error.kind(), StorageErrorKind::Configuration, "{name}");
            }
        }
        for name in ["a", "_", "Records_2", &"a".repeat(48)] {
            assert!(Table::new(Some(name), name, Quote::Double).is_ok(), "{name}");
        }
    }

    #[test]
    fn every_name_of_a_file_is_adapted() {
        let statement = "CREATE INDEX idempotency_records_purge_after ON idempotency_records (purge_after); \
                         INSERT INTO idempotency_records_migrations VALUES (1)";
        let table = Table::new(Some("app"), "once", Quote::Double).unwrap();
        assert_eq!(
            table.adapt(statement, "idempotency_records"),
            "CREATE INDEX \"once_purge_after\" ON \"app\".\"once\" (purge_after); \
             INSERT INTO \"app\".\"once_migrations\" VALUES (1)"
        );
    }
}
