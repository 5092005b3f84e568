//! The registered schemes of `connect`, and the functions that open their storages.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::error::{Error, ErrorKind};
use crate::storage::{SharedStorage, Storage, StorageError};
use crate::sync::Mutex;

type OpeningStorage = BoxFuture<'static, Result<SharedStorage, StorageError>>;
pub(super) type Opener = Arc<dyn Fn(String) -> OpeningStorage + Send + Sync>;

static SCHEMES: Mutex<BTreeMap<String, Opener>> = Mutex::new(BTreeMap::new());

/// The registered function that opens storages of this scheme.
pub(super) fn opener(scheme: &str) -> Option<Opener> {
    SCHEMES.lock().get(scheme).map(Arc::clone)
}

/// All registered schemes.
pub(super) fn registered() -> Vec<String> {
    SCHEMES.lock().keys().cloned().collect()
}

pub(super) fn register<S, O, F>(scheme: &str, open: O) -> Result<(), Error>
where
    S: Storage,
    O: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = Result<S, StorageError>> + Send + 'static,
{
    let refused = |why: &str| {
        let text = format!("the scheme `{}` cannot be registered: {why}", scheme.escape_debug());
        Err(Error::new(ErrorKind::Configuration, text))
    };
    if !is_scheme(scheme) {
        return refused(
            "a scheme is a small letter, and then small letters, digits, `+`, `-` or `.`",
        );
    }
    if is_built_in(scheme) {
        return refused("it is one of this library's own storages");
    }
    let mut schemes = SCHEMES.lock();
    if schemes.contains_key(scheme) {
        return refused("it was registered before");
    }
    let opener: Opener = Arc::new(move |url| {
        let opening = open(url);
        Box::pin(async move { opening.await.map(SharedStorage::new) })
    });
    schemes.insert(scheme.to_owned(), opener);
    Ok(())
}

pub(super) fn is_redis(scheme: &str) -> bool {
    scheme.starts_with("redis") || scheme.starts_with("valkey")
}

/// Whether `connect` has a built-in storage for it.
fn is_built_in(scheme: &str) -> bool {
    let others = ["memory", "unix", "postgres", "postgresql", "mysql", "mariadb", "sqlite"];
    others.contains(&scheme) || is_redis(scheme)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || "+-.".contains(char))
}

#[cfg(test)]
mod tests;
