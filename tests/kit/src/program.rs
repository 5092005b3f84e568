//! Finding the programs of servers.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The program that an environment variable names, if it names one.
///
/// # Panics
///
/// When there is no such program: a server that was asked for is never replaced by another.
#[track_caller]
pub(crate) fn named_by(variable: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).filter(|value| !value.is_empty())?;
    let found = find(Path::new(&named)).unwrap_or_else(|| {
        panic!("there is no program {}, which {variable} names", named.display())
    });
    Some(found)
}

/// Finds a program as a shell would.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = env::var_os("PATH");
    let mut dirs = env::split_paths(path.as_deref().unwrap_or_default());
    dirs.find_map(|dir| Some(dir.join(program)).filter(|path| path.is_file()))
}

/// What `cargo xtask test` leaves in the target folder.
pub(crate) fn fetched(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let target = root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let path = target.join("servers").join(path);
    path.is_file().then_some(path)
}
