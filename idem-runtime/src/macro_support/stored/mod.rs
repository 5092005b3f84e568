//! How a function's value is stored: as it serializes, or by the content of a wrapper in it.
//!
//! A web framework's `Json<T>` cannot be deserialized, but it holds a `T` and nothing else, and can
//! be made from one. So the `T` is stored, in the same bytes as by a function without the wrapper.
//! The expansion walks the written type and asks for the form of each part, a type that implements
//! [`StoredAs`](form::StoredAs). The compiler chooses it by the types, so that aliases work, and a
//! user's own type with the name `Json` is stored as it serializes:
//!
//! | the value | is stored |
//! |---|---|
//! | is `Serialize` and `DeserializeOwned` | as itself |
//! | is written `Json<T>`, and `Json` is a tuple struct of one field | as its field |
//! | `Option<T>`, `(A, B)`, `(A, B, C)` | part by part |
//! | `Outcome<T>` | as its value; the source is that of each call |
//! | converts to and from a `u16`, as `http::StatusCode` does | as that number |
//! | has names and values in bytes, as `http::HeaderMap` does | as these |
//! | derefs to a `T` of its own size and is `From<T>` | as the `T` |

pub mod choice;
pub mod form;
pub mod headers;
pub mod number;
pub mod wrapped;

pub use choice::Value;
pub use form::{Inside, Part, store_if, stored_as};
pub use wrapped::wrapper;
