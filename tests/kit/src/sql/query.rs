//! Statements to a server, each on a connection of its own, so that they work whatever happened to the server since the last one.

use std::{thread, time::Duration};

use sqlx::{
    AssertSqlSafe, ColumnIndex, ConnectOptions, Connection, Database, Decode, Error, Executor,
    MySql, Postgres, Row, mysql::MySqlConnectOptions, postgres::PgConnectOptions,
};

/// How long a server may take to answer; one that makes a database on a busy disk takes many seconds, a stopped one forever.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs statements at an address and gives the rows as text: a line for each, a tab between columns, nothing for null.
pub fn query(url: &str, statements: &str) -> Result<String, Error> {
    // On a thread of its own, since the caller may be a task, which must not start a runtime.
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(Error::Io)?.block_on(async {
            let answer = tokio::time::timeout(LIMIT, on_connection(url, statements));
            answer.await.unwrap_or_else(|_| Err(Error::PoolTimedOut))
        })
    };
    thread::scope(|scope| scope.spawn(run).join()).expect("a statement does not panic")
}

async fn on_connection(url: &str, statements: &str) -> Result<String, Error> {
    if url.starts_with("mysql") {
        let options: MySqlConnectOptions = url.parse()?;
        rows::<MySql>(options.connect().await?, statements).await
    } else {
        let options: PgConnectOptions = url.parse()?;
        rows::<Postgres>(options.connect().await?, statements).await
    }
}

async fn rows<DB: Database>(
    mut connection: DB::Connection,
    statements: &str,
) -> Result<String, Error>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'r> String: Decode<'r, DB>,
    usize: ColumnIndex<DB::Row>,
{
    let statements = sqlx::raw_sql(AssertSqlSafe(statements));
    let rows = (&mut connection).fetch_all(statements).await?;
    let texts: Result<Vec<String>, Error> = rows.iter().map(text_of).collect();
    // The rows are there, so whether the server hears that this is the end matters to nobody.
    let _ = connection.close().await;
    Ok(texts?.join("\n"))
}

fn text_of<R: Row>(row: &R) -> Result<String, Error>
where
    for<'r> String: Decode<'r, R::Database>,
    usize: ColumnIndex<R>,
{
    // Statements that are not prepared give every column as text, whatever its type.
    let column = |index| row.try_get_unchecked::<Option<String>, usize>(index);
    let columns: Result<Vec<_>, Error> = (0..row.len()).map(column).collect();
    Ok(columns?.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("\t"))
}
