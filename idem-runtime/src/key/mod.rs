//! Keys, key templates, and the names of records.

mod call_name;
mod escape;
mod generator;
mod into_key;
mod record;
mod template;
mod text;

pub(crate) use call_name::CallName;
pub use generator::{HashedArguments, KeyGenerator};
pub use into_key::IntoKey;
pub use record::RecordKey;
pub(crate) use record::check_scope;
pub use template::KeyBuilder;
pub use text::Key;
