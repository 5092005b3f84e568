//! The output of a value, and its depth limit.

use std::cell::Cell;

use serde::Serialize;

use super::error::{Error, Reason};
use super::members::Member;
use super::string;

/// Nesting limit of arrays and objects: that of `serde_json`'s parser.
const MAX_DEPTH: u32 = 127;

/// Nesting limit of options and newtypes: they print nothing, but each takes stack.
const MAX_WRAPPERS: u32 = 512;

/// Returns the canonical JSON of `value`.
///
/// ```
/// # use idem_runtime as idempotency;
/// use std::collections::HashMap;
///
/// let stock = HashMap::from([("pear", 1u64 << 60), ("apple", 2)]);
/// let json = idempotency::canonical::to_vec(&stock)?;
/// assert_eq!(json, br#"{"apple":2,"pear":1152921504606846976}"#);
/// # Ok::<(), idem_runtime::canonical::Error>(())
/// ```
///
/// # Errors
///
/// When the value has no canonical form: a float that is not finite, a name that occurs twice in
/// one object, nesting beyond the limit, or a `Serialize` implementation that fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(128);
    append(&mut out, value)?;
    Ok(out)
}

/// Appends the canonical JSON of `value` to `out`; on failure `out` is unchanged.
///
/// # Errors
///
/// As [`to_vec`].
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    write(out, &mut Vec::new(), value)
}

/// An output with the writer's other buffers; the thread keeps them between values to save
/// allocations.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) out: Vec<u8>,
    members: Vec<Member>,
}

/// Buffers larger than this are freed.
const MAX_KEPT: usize = 64 * 1024;

thread_local! {
    /// Taken while a value is written, so that a `Serialize` implementation may write another one.
    static KEPT: Cell<Buffers> = const { Cell::new(Buffers::new()) };
}

impl Buffers {
    const fn new() -> Self {
        Self { out: Vec::new(), members: Vec::new() }
    }

    /// The thread's buffers, empty.
    pub(crate) fn take() -> Self {
        // An exiting thread has none left.
        KEPT.try_with(Cell::take).unwrap_or_default()
    }

    /// Returns the buffers for the thread's next value.
    pub(crate) fn give_back(mut self) {
        if self.capacity() <= MAX_KEPT {
            self.out.clear();
            let _ = KEPT.try_with(|kept| kept.set(self));
        }
    }

    pub(crate) fn append<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        write(&mut self.out, &mut self.members, value)
    }

    pub(crate) fn append_str(&mut self, text: &str) {
        string::write(&mut self.out, text);
    }

    /// Capacity of the buffers in bytes.
    fn capacity(&self) -> usize {
        self.out.capacity() + self.members.capacity() * size_of::<Member>()
    }
}

fn write<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    members: &mut Vec<Member>,
    value: &T,
) -> Result<(), Error> {
    let before = out.len();
    let written = value.serialize(&mut Writer::new(out, members));
    if written.is_err() {
        out.truncate(before);
    }
    written
}

pub(super) struct Writer<'b> {
    pub(super) out: &'b mut Vec<u8>,
    /// The members so far of all objects that are open, the innermost object's last.
    pub(super) members: &'b mut Vec<Member>,
    depth: u32,
    wrappers: u32,
}

impl<'b> Writer<'b> {
    pub(super) fn new(out: &'b mut Vec<u8>, members: &'b mut Vec<Member>) -> Self {
        Self { out, members, depth: 0, wrappers: 0 }
    }

    /// Opens the object around the content of an enum variant, as `serde_json` does: its only
    /// member is the variant.
    pub(super) fn open_variant(&mut self, variant: &str) -> Result<(), Error> {
        self.enter()?;
        self.out.push(b'{');
        string::write(self.out, variant);
        self.out.push(b':');
        Ok(())
    }

    pub(super) fn close_variant(&mut self) {
        self.out.push(b'}');
        self.leave();
    }

    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(Reason::TooDeep.into());
        }
        self.depth += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    pub(super) fn transparent<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if self.wrappers == MAX_WRAPPERS {
            return Err(Reason::TooDeep.into());
        }
        self.wrappers += 1;
        value.serialize(&mut *self)?;
        self.wrappers -= 1;
        Ok(())
    }
}
