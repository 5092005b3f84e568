//! The order of a set's elements: by the bytes of their canonical forms.
//!
//! A hash set's order differs in every process, and so would its fingerprint. serde has no notion
//! of sets, but collections serialize themselves as a whole
//! ([`collect_seq`](serde::Serializer::collect_seq)), and their type identifies them. That works
//! wherever the set is: in a field, behind an `Option`, a `Box` or a newtype, within an enum.

use std::any::type_name;

use serde::Serialize;

use super::compound::Array;
use super::error::Error;
use super::writer::Writer;

/// Whether `I` is a hash set or a reference to one: of `std`, of `hashbrown`, or another type with
/// such a name, except those that keep an order.
#[inline]
pub(super) fn is_hash_set<I>() -> bool {
    let whole = type_name::<I>();
    let path = whole.split_once('<').map_or(whole, |(path, _)| path);
    let path = path.trim_start_matches(['&', ' ']).trim_start_matches("mut ");
    // A slice or an array of sets is not a set.
    !path.contains(['[', '(']) && path.ends_with("HashSet") && !path.ends_with("LinkedHashSet")
}

/// Writes the elements as a sorted array.
pub(super) fn write<T: Serialize>(
    writer: &mut Writer<'_>,
    elements: impl IntoIterator<Item = T>,
) -> Result<(), Error> {
    let mut array = Array::begin(writer)?;
    let mut places = Vec::new();
    for element in elements {
        let writer = array.element();
        let start = writer.out.len();
        element.serialize(&mut *writer)?;
        places.push(start..writer.out.len());
    }
    if let Some(first) = places.first() {
        let start = first.start;
        let out = &mut *array.writer().out;
        places.sort_unstable_by(|a, b| out[a.clone()].cmp(&out[b.clone()]));
        let end = out.len();
        for (index, place) in places.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_within(place);
        }
        out.copy_within(end.., start);
        out.truncate(end);
    }
    array.close();
    Ok(())
}
