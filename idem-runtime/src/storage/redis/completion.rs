//! The arguments of `complete.lua`: as many records as end at the same time, in one call.

use redis::Cmd;

use super::script::Lua;
use super::wire;
use crate::storage::Complete;

/// Most records of one call. More of them save little, and the server does nothing else meanwhile.
const MOST: usize = 16;

/// Most bytes of one call, unless a single record has more: the server copies them more than once.
const MOST_BYTES: usize = 256 * 1024;

/// The completion of one record.
pub(super) struct Completion {
    key: String,
    before: [u8; wire::PREFIX_LEN],
    after: [u8; wire::PREFIX_LEN],
    /// In milliseconds; none for ever.
    retention: Option<u64>,
    body: Vec<u8>,
}

impl Completion {
    pub(super) fn new(key: String, complete: &Complete) -> Self {
        Self {
            key,
            before: wire::processing_prefix(complete.owner),
            after: wire::finished_prefix(complete.owner, &complete.finish),
            retention: (!complete.finish.is_parked())
                .then(|| wire::clamped_millis(complete.ttl).max(1)),
            body: wire::encode_finish(&complete.finish),
        }
    }

    fn size(&self) -> usize {
        self.key.len() + self.body.len() + 64
    }
}

/// Splits completions into one group per call.
pub(super) fn groups(completions: &[Completion]) -> Vec<&[Completion]> {
    let (mut groups, mut rest) = (Vec::new(), completions);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |completion: &&Completion| {
            bytes += completion.size();
            bytes <= MOST_BYTES
        };
        let count = rest.iter().take(MOST).take_while(fits).count().max(1);
        let (group, others) = rest.split_at(count);
        groups.push(group);
        rest = others;
    }
    groups
}

/// One call for these, by the script's hash.
pub(super) fn by_hash(completions: &[Completion]) -> Cmd {
    call("EVALSHA", Lua::Complete.hash(), completions)
}

/// The same call with the script's text.
pub(super) fn by_text(completions: &[Completion]) -> Cmd {
    call("EVAL", Lua::Complete.text(), completions)
}

fn call(verb: &str, script: &str, completions: &[Completion]) -> Cmd {
    let size: usize = completions.iter().map(Completion::size).sum();
    let mut cmd = Cmd::with_capacity(3 + 5 * completions.len(), 64 + script.len() + size);
    cmd.arg(verb).arg(script).arg(completions.len());
    for completion in completions {
        cmd.arg(&completion.key);
    }
    for Completion { before, after, retention, body, .. } in completions {
        cmd.arg(&before[..]).arg(&after[..]).arg(retention.unwrap_or(0)).arg(&body[..]);
    }
    cmd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_size(size: usize) -> Completion {
        let prefix = [0; wire::PREFIX_LEN];
        let (before, after, body) = (prefix, prefix, vec![0; size]);
        Completion { key: "key".to_owned(), before, after, retention: Some(1), body }
    }

    #[test]
    fn groups_are_bounded_in_number_and_bytes_and_leave_nobody_out() {
        let sizes = |sizes: &[usize]| {
            let completions: Vec<_> = sizes.iter().map(|size| of_size(*size)).collect();
            groups(&completions).iter().map(|group| group.len()).collect::<Vec<_>>()
        };
        assert!(groups(&[]).is_empty());
        assert_eq!(sizes(&[100; MOST]), [MOST]);
        assert_eq!(sizes(&[100; MOST * 2 + 1]), [MOST, MOST, 1]);
        assert_eq!(sizes(&[100, MOST_BYTES, 100, 100]), [1, 1, 2]);
        assert_eq!(sizes(&[MOST_BYTES / 2; 3]), [1, 1, 1]);
    }
}
