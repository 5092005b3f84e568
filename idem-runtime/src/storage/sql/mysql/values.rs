//! The values of a statement.
//!
//! On a connection of the pool a statement is prepared and its values are sent apart from it. In
//! the application's transaction they are part of its text: a caller that is dropped while sqlx 0.9
//! prepares a statement leaves a connection in an unknown protocol state, so that its transaction
//! could not even be rolled back. Bytes and texts are hex digits there, of which no server reads
//! anything else.

use sqlx::MySql;
use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;

use crate::hex;
use crate::record::OwnerId;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlValue<'v> {
    Null,
    Bytes(&'v [u8]),
    Owner(OwnerId),
    Text(&'v str),
    Integer(i64),
}

impl<'v> From<Option<&'v [u8]>> for SqlValue<'v> {
    fn from(bytes: Option<&'v [u8]>) -> Self {
        bytes.map_or(Self::Null, Self::Bytes)
    }
}

impl<'v> From<Option<&'v str>> for SqlValue<'v> {
    fn from(text: Option<&'v str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl SqlValue<'_> {
    fn literal(self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Bytes(bytes) => format!("X'{}'", hex::encode(bytes)),
            Self::Owner(owner) => format!("X'{owner}'"),
            Self::Text(text) => {
                format!("CONVERT(X'{}' USING utf8mb4)", hex::encode(text.as_bytes()))
            }
            Self::Integer(integer) => integer.to_string(),
        }
    }
}

/// A statement with its values beside it.
pub(super) fn bound<'q>(
    query: Query<'q, MySql, MySqlArguments>,
    values: &[SqlValue<'_>],
) -> Query<'q, MySql, MySqlArguments> {
    values.iter().fold(query, |query, value| match *value {
        SqlValue::Null => query.bind(None::<&[u8]>),
        SqlValue::Bytes(bytes) => query.bind(bytes),
        SqlValue::Owner(owner) => query.bind(owner.to_bytes().to_vec()),
        SqlValue::Text(text) => query.bind(text),
        SqlValue::Integer(integer) => query.bind(integer),
    })
}

/// A statement with its values in it. It has a `?` where each of them goes, and no other one.
pub(super) fn written_out(sql: &str, values: &[SqlValue<'_>]) -> String {
    let mut parts = sql.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (part, value) in parts.zip(values) {
        text.push_str(&value.literal());
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{SqlValue, written_out};

    #[test]
    fn values_go_where_they_belong_and_are_nothing_but_values() {
        let values =
            [SqlValue::Bytes(b"'?"), SqlValue::Text("a'\\"), SqlValue::Integer(-7), SqlValue::Null];
        let text = written_out("f(?, ?) + ? = ?;", &values);
        assert_eq!(text, "f(X'273f', CONVERT(X'61275c' USING utf8mb4)) + -7 = NULL;");
    }
}
