//! Commands to a server, each on a connection of its own, so that they work whatever happened to the server since the last one.

use std::time::Duration;

use redis::{FromRedisValue, RedisError, RedisResult, Value};

/// How long a server may take to answer. A stopped one never does.
const LIMIT: Duration = Duration::from_secs(5);

/// Sends a command and converts the reply.
pub(super) fn query<T: FromRedisValue>(url: &str, command: &[&str]) -> RedisResult<T> {
    let [name, arguments @ ..] = command else {
        return Err(RedisError::from((redis::ErrorKind::InvalidClientConfig, "empty command")));
    };
    let mut connection = redis::Client::open(url)?.get_connection_with_timeout(LIMIT)?;
    connection.set_read_timeout(Some(LIMIT))?;
    redis::cmd(name).arg(arguments).query(&mut connection)
}

/// A reply as text: one line for each value of a list, nothing for nil.
pub(super) fn text_of(reply: &Value) -> String {
    match reply {
        Value::Nil => String::new(),
        Value::Okay => "OK".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::SimpleString(text) => text.clone(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        other => format!("{other:?}"),
    }
}
