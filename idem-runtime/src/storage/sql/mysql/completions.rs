//! Completions that go in one statement: see [`statements`](super::statements).

use super::super::row::{FinishColumns, clamped_millis};
use super::statements::SIZES;
use super::values::SqlValue;
use crate::record::Timestamp;
use crate::storage::Complete;

/// Most bytes of results in a statement of more than one. Servers refuse what is beyond
/// `max_allowed_packet`, 16 MiB or more.
const MOST_BYTES: usize = 1 << 20;

/// Some completions of a batch, alike but for key, owner and result, with their places in it.
pub(super) struct Chunk<'a> {
    pub(super) completes: Vec<(usize, &'a Complete)>,
    columns: Vec<FinishColumns<'a>>,
    bytes: usize,
}

/// A batch as chunks, each of which goes in one statement.
pub(super) fn chunks(batch: &[Complete]) -> Vec<Chunk<'_>> {
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    for (at, complete) in batch.iter().enumerate() {
        let columns = FinishColumns::of(&complete.finish);
        let bytes = columns.payload.map_or(0, <[u8]>::len) + columns.message.map_or(0, <[u8]>::len);
        let place = chunks.iter_mut().find(|chunk| chunk.takes(complete, &columns, bytes));
        match place {
            Some(chunk) => {
                chunk.completes.push((at, complete));
                chunk.columns.push(columns);
                chunk.bytes += bytes;
            }
            None => {
                chunks.push(Chunk {
                    completes: vec![(at, complete)],
                    columns: vec![columns],
                    bytes,
                });
            }
        }
    }
    chunks
}

impl Chunk<'_> {
    /// Whether a completion fits: the values that a statement has once are the same.
    fn takes(&self, complete: &Complete, columns: &FinishColumns<'_>, bytes: usize) -> bool {
        let (first, (_, with)) = (&self.columns[0], self.completes[0]);
        self.completes.len() < SIZES[SIZES.len() - 1]
            && self.bytes + bytes <= MOST_BYTES
            && clamped_millis(with.ttl) == clamped_millis(complete.ttl)
            && (first.status, first.codec, first.failure)
                == (columns.status, columns.codec, columns.failure)
    }

    /// Which of [`SIZES`] it takes.
    pub(super) fn size(&self) -> usize {
        SIZES.partition_point(|size| *size < self.completes.len())
    }

    /// The values of the statement of its size.
    pub(super) fn values(&self) -> Vec<SqlValue<'_>> {
        let (first, (_, with)) = (&self.columns[0], self.completes[0]);
        let ttl = SqlValue::Integer(clamped_millis(with.ttl));
        let at_least = if with.finish.is_parked() { Timestamp::NEVER.as_millis() } else { 0 };
        let at_least = SqlValue::Integer(i64::try_from(at_least).unwrap_or(i64::MAX));
        let mut values =
            vec![SqlValue::Text(first.status), first.codec.into(), first.failure.into()];
        // Three times, for the expiry and for what follows from it.
        values.extend([ttl, at_least].repeat(3));
        let keys: Vec<_> =
            self.completes.iter().map(|(_, complete)| complete.key.as_str()).collect();
        let keys = || keys.iter().map(|key| SqlValue::Bytes(key.as_bytes()));
        // No key is empty.
        let no_key = SqlValue::Bytes(b"");
        self.list(&mut values, keys(), no_key);
        self.list(&mut values, self.columns.iter().map(|own| own.payload.into()), SqlValue::Null);
        self.list(&mut values, keys(), no_key);
        self.list(&mut values, self.columns.iter().map(|own| own.message.into()), SqlValue::Null);
        self.list(&mut values, keys(), no_key);
        let sizes = self.columns.iter().map(|own| SqlValue::Integer(own.size));
        self.list(&mut values, sizes, SqlValue::Integer(0));
        self.list(&mut values, keys(), no_key);
        self.list(&mut values, keys(), no_key);
        let owners = self.completes.iter().map(|(_, own)| SqlValue::Owner(own.owner));
        self.list(&mut values, owners, no_key);
        values.push(first.failure.into());
        values
    }

    /// A value for each of the completions, and `none` in the places that are left.
    fn list<'v>(
        &self,
        values: &mut Vec<SqlValue<'v>>,
        own: impl Iterator<Item = SqlValue<'v>>,
        none: SqlValue<'v>,
    ) {
        let size = SIZES.get(self.size()).copied().unwrap_or_default();
        values.extend(own.chain(std::iter::repeat(none)).take(size));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::codec::CodecTag;
    use crate::key::{Key, RecordKey};
    use crate::record::{Failure, Finish, OwnerId, Payload};

    fn complete(number: usize, finish: Finish) -> Complete {
        let key = Key::new(number.to_string()).unwrap();
        let key = RecordKey::new("chunks", None, &key).unwrap();
        Complete { key, owner: OwnerId::random(), finish, ttl: Duration::from_secs(1) }
    }

    fn completed(bytes: usize) -> Finish {
        Finish::Completed(Payload {
            codec: CodecTag::new("json").unwrap(),
            bytes: vec![0; bytes].into(),
        })
    }

    /// The places in the batch, chunk by chunk.
    fn places(batch: &[Complete]) -> Vec<Vec<usize>> {
        let of_chunk = |chunk: Chunk<'_>| chunk.completes.iter().map(|(at, _)| *at).collect();
        chunks(batch).into_iter().map(of_chunk).collect()
    }

    #[test]
    fn what_is_alike_goes_together() {
        let failed = || Finish::Failed(Failure::Unserializable);
        let finishes = [completed(1), failed(), completed(2), failed()];
        let mut batch: Vec<_> =
            finishes.into_iter().enumerate().map(|(at, finish)| complete(at, finish)).collect();
        assert_eq!(places(&batch), [[0, 2], [1, 3]]);
        batch[2].ttl = Duration::from_secs(2);
        assert_eq!(places(&batch), [vec![0], vec![1, 3], vec![2]]);
    }

    #[test]
    fn what_is_too_much_for_a_statement_goes_in_several() {
        let large: Vec<_> = (0..4).map(|at| complete(at, completed(MOST_BYTES / 2))).collect();
        assert_eq!(places(&large), [[0, 1], [2, 3]]);
        let huge: Vec<_> = (0..2).map(|at| complete(at, completed(MOST_BYTES * 2))).collect();
        assert_eq!(places(&huge), [[0], [1]]);
        let many: Vec<_> = (0..129).map(|at| complete(at, completed(1))).collect();
        assert_eq!(places(&many).iter().map(Vec::len).collect::<Vec<_>>(), [128, 1]);
    }

    #[test]
    fn a_chunk_takes_the_next_larger_statement() {
        for (count, size) in [(1, 1), (2, 2), (3, 4), (33, 64), (128, 128)] {
            let batch: Vec<_> = (0..count).map(|at| complete(at, completed(1))).collect();
            assert_eq!(SIZES[chunks(&batch)[0].size()], size);
        }
    }
}
