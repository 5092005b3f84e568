//! A data folder that is made once and copied for each server: a copy takes a tenth of the time.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::account;
use crate::reservation;

/// Gives the folder called `name` that `program` filled, and has `make` fill it if it is not there yet.
///
/// It is kept in the system's temporary folder, for all test processes and until somebody clears that.
#[track_caller]
pub(super) fn template(name: &str, program: &Path, make: impl FnOnce(&Path)) -> PathBuf {
    let root = reservation::root();
    account::let_in(root);
    let name = format!("{name}-{:016x}", identity(program));
    let (finished, draft) = (root.join(&name), root.join(format!("{name}.draft")));
    let lock = root.join(format!("{name}.lock"));
    let lock = File::options().create(true).truncate(false).write(true).open(&lock);
    let lock = lock.unwrap_or_else(|error| panic!("cannot lock {}: {error}", finished.display()));
    lock.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", finished.display()));
    if !finished.is_dir() {
        account::assert_can_run(program);
        // What a process left that was killed while it made one.
        let _ = fs::remove_dir_all(&draft);
        fs::create_dir(&draft)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", draft.display()));
        account::give(&draft);
        make(&draft);
        fs::rename(&draft, &finished)
            .unwrap_or_else(|error| panic!("cannot name {}: {error}", finished.display()));
    }
    finished
}

/// Another version of the program makes another folder.
fn identity(program: &Path) -> u64 {
    let program = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    let metadata = fs::metadata(&program);
    let changed = metadata.as_ref().ok().and_then(|metadata| metadata.modified().ok());
    let changed = changed.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let mut hasher = DefaultHasher::new();
    (program, metadata.map_or(0, |metadata| metadata.len()), changed).hash(&mut hasher);
    hasher.finish()
}

/// Copies a folder with the permissions of what is in it, for the account for servers.
#[track_caller]
pub(super) fn copy(from: &Path, to: &Path) {
    try_copy(from, to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
}

fn try_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            try_copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            account::give(&target);
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    account::give(to);
    Ok(())
}
