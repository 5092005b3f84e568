//! Keys: what names one intended effect, how a template makes one, and what a storage calls its
//! record.

mod escape;
mod generator;
mod record;
mod template;
mod text;

pub use generator::{KeyGenerator, RandomKeys};
pub use record::RecordKey;
pub(crate) use record::check_scope;
pub use template::KeyBuilder;
pub use text::Key;
