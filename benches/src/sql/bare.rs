//! The statements of a call with nothing around them: no hashing, no encoding, the same bytes every time.
//!
//! They are the texts that a call was seen to send. Beside them stand those that somebody writes by hand for this one call: they know that
//! nothing goes wrong with it, so that none asks whether the row is sound, whether its owner's lease is over or what to tell whoever lost.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database, Encode, Type, query};

use crate::callers::Caller;
use crate::load::Turns;
use crate::payload::{Arguments, Pool, TTL};

/// A statement as it was seen.
pub(crate) fn again<D: Database>(text: &Arc<str>) -> Query<'static, D, D::Arguments> {
    // A call of this program sent it.
    query(AssertSqlSafe(Arc::clone(text)))
}

/// A claim of `key` with these arguments in our order, where the database takes them as they are.
pub(crate) fn claim_again<D: Database>(
    text: &Arc<str>,
    key: &str,
) -> Query<'static, D, D::Arguments>
where
    for<'t> &'t str: Encode<'t, D> + Type<D>,
    for<'t> &'t [u8]: Encode<'t, D> + Type<D>,
    for<'t> i64: Encode<'t, D> + Type<D>,
{
    let claim = again(text).bind(key).bind(&OWNER[..]).bind(&FINGERPRINT[..]);
    claim.bind("retry").bind(LEASE_MS).bind(ttl_ms())
}

/// Likewise the end of the operation.
pub(crate) fn complete_again<D: Database>(
    text: &Arc<str>,
    key: &str,
) -> Query<'static, D, D::Arguments>
where
    for<'t> &'t str: Encode<'t, D> + Type<D>,
    for<'t> &'t [u8]: Encode<'t, D> + Type<D>,
    for<'t> Option<&'t str>: Encode<'t, D> + Type<D>,
    for<'t> Option<&'t [u8]>: Encode<'t, D> + Type<D>,
    for<'t> i64: Encode<'t, D> + Type<D>,
{
    let complete = again(text).bind(key).bind(&OWNER[..]).bind(ttl_ms());
    let complete = complete.bind("completed").bind("json").bind(&RESULT[..]);
    complete.bind(None::<&str>).bind(None::<&[u8]>).bind(SIZE)
}

/// The statements of one database, each sent by itself.
pub(crate) trait Bare: Clone + Send + Sync + 'static {
    /// Claims a key; says whether it was free.
    fn claim(&self, key: &str) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Writes the result of the key's owner; says whether that is still who asks.
    fn complete(&self, key: &str) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Claims a key whose result is there, and gives that.
    fn replay(&self, key: &str) -> impl Future<Output = sqlx::Result<Option<Vec<u8>>>> + Send;
}

pub(crate) const OWNER: [u8; 16] = [7; 16];
pub(crate) const FINGERPRINT: [u8; 33] = [1; 33];
/// As long as a result of the job.
pub(crate) const RESULT: [u8; 256] = [b'f'; 256];
/// The size column of that.
pub(crate) const SIZE: i64 = RESULT.len().cast_signed() as i64;
pub(crate) const LEASE_MS: i64 = 30_000;

pub(crate) fn ttl_ms() -> i64 {
    i64::try_from(TTL.as_millis()).unwrap_or(i64::MAX)
}

/// Claims and completes.
pub(crate) struct Fresh<B>(pub(crate) B);

impl<B: Bare> Caller for Fresh<B> {
    fn run(&self, pool: Pool, mut turns: Turns) -> impl Future<Output = Turns> + Send + 'static {
        let bare = self.0.clone();
        async move {
            while let Some(number) = turns.next() {
                let key = key(pool.get(number));
                turns.check(done(bare.claim(&key).await));
                turns.check(done(bare.complete(&key).await));
            }
            turns
        }
    }
}

/// Claims what is finished.
pub(crate) struct Replay<B>(pub(crate) B);

impl<B: Bare> Caller for Replay<B> {
    fn run(&self, pool: Pool, mut turns: Turns) -> impl Future<Output = Turns> + Send + 'static {
        let bare = self.0.clone();
        async move {
            while let Some(number) = turns.next() {
                let key = key(pool.get(number));
                turns.check(done(bare.replay(&key).await.map(|result| result.is_some())));
            }
            turns
        }
    }
}

/// As long as our keys are.
fn key(arguments: &Arguments) -> String {
    format!("bare:default::payment:{}", arguments.order)
}

fn done(answer: sqlx::Result<bool>) -> Result<(), sqlx::Error> {
    if answer? { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}
