//! The error types that applications have, and what is found in them.

use std::error::Error as StdError;
use std::fmt;

use idem_runtime::transaction::Tx;
use idem_runtime::{Error, Idempotency};
use sqlx::{MySql, Pool, Postgres};

use super::super::stage::{Db, Stage, deposit};
use super::Runs;
use super::attempts::Raises;
use crate::outbox::stage::inside;
use crate::stage::in_time;

/// Makes an error type with the two conversions.
macro_rules! application_error {
    ($name:ident, |$it:ident| $source:expr) => {
        #[derive(Debug)]
        enum $name {
            Database(sqlx::Error),
            Idempotency(Error),
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a payment failed")
            }
        }

        impl StdError for $name {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                let $it: &(dyn StdError + 'static) = match self {
                    Self::Database(error) => error,
                    Self::Idempotency(error) => error,
                };
                $source
            }
        }

        impl From<sqlx::Error> for $name {
            fn from(error: sqlx::Error) -> Self {
                Self::Database(error)
            }
        }

        impl From<Error> for $name {
            fn from(error: Error) -> Self {
                Self::Idempotency(error)
            }
        }
    };
}

application_error!(WithSources, |inner| Some(inner));
// As `#[error(transparent)]` makes them.
application_error!(Transparent, |inner| inner.source());

/// A wrapper around another, as `anyhow`'s contexts are.
#[derive(Debug)]
struct Deep(WithSources);

impl fmt::Display for Deep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an order failed")
    }
}

impl StdError for Deep {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

impl<E> From<E> for Deep
where
    WithSources: From<E>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Makes a function whose body has errors of this type, the first attempt's the one that the database gives.
macro_rules! pays {
    ($($name:ident: $error:ty;)*) => {
        $(async fn $name<DB: Db>(
            (idem, pool): (&Idempotency, &Pool<DB>),
            error: &str,
            place: &str,
            runs: &Runs,
        ) -> Result<i64, $error> {
            let raise = async |connection: &mut DB::Connection, here: &str| {
                if runs.count() == 1 && here == place {
                    DB::run(connection, error.to_owned()).await?;
                }
                Ok::<_, $error>(())
            };
            let body = async |mut tx: Tx<DB>| {
                runs.next();
                raise(inside(&mut tx), "outside").await?;
                let operation = idem.in_transaction(&mut tx).operation("deposit").key(stringify!($name).to_owned() + error + place);
                let body = async |tx: &mut DB::Connection| {
                    let balance = deposit::<DB>(tx, 1).await?;
                    raise(tx, "inside").await?;
                    Ok::<_, $error>(balance)
                };
                operation.run(body).await
            };
            idem.transaction(pool, body).await
        })*

        async fn each_is_looked_into<DB: Raises>() {
            let stage = Stage::<DB>::new().await;
            let on = (&stage.idem, &stage.pool);
            let mut deposits = 0;
            for place in ["outside", "inside"] {
                $(
                    let runs = Runs::default();
                    let paid = in_time($name::<DB>(on, DB::ABORTED[0], place, &runs)).await;
                    deposits += 1;
                    let what = concat!(stringify!($name), " ", stringify!($error));
                    assert_eq!(paid.unwrap(), deposits, "{what} {place}");
                    assert_eq!(runs.count(), 2, "{what} {place}");

                    let runs = Runs::default();
                    let paid = in_time($name::<DB>(on, DB::OTHERWISE[0], place, &runs)).await;
                    assert!(paid.is_err() && runs.count() == 1, "{what} {place}");
                )*
            }
            assert_eq!(stage.balance().await, deposits);
        }
    };
}

pays! {
    with_sources: WithSources;
    transparent: Transparent;
    deep: Deep;
    boxed: Box<dyn StdError + Send + Sync>;
    boxed_here: Box<dyn StdError>;
    any: anyhow::Error;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_type_is_looked_into_on_postgres() {
    each_is_looked_into::<Postgres>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_type_is_looked_into_on_mysql() {
    each_is_looked_into::<MySql>().await;
}
