//! libfaketime, with which tests run a process whose wall clock is days off.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{debian, product::target};

/// Tells the tests where it is.
pub(crate) const VARIABLE: &str = "IDEM_LIBFAKETIME";

/// Looked for like a server: where the user says, on the machine, in the target folder; fetched if need be.
pub(crate) fn libfaketime() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        let missing = || format!("{VARIABLE}: no {}", path.display());
        return path.is_file().then(|| path.clone()).ok_or_else(missing);
    }
    let dir = target().join("servers/faketime");
    if let Some(path) = below(Path::new("/")).or_else(|| below(&dir.join("root"))) {
        return Ok(path);
    }
    println!("libfaketime is not installed; fetching it into {}", dir.display());
    let fetched = debian::unpack(&["libfaketime"], &dir);
    fetched.and_then(|root| below(&root).ok_or_else(|| "its package lacks it".into())).map_err(
        |reason| {
            format!(
                "libfaketime is needed, and {reason}\n\
                 install the package faketime or libfaketime, then run this again,\n\
                 or name the library: {VARIABLE}=/path/to/libfaketime.so.1"
            )
        },
    )
}

/// Where the distributions put it, below `root`.
fn below(root: &Path) -> Option<PathBuf> {
    let lib = root.join("usr/lib");
    // Debian has a folder named after the machine, such as x86_64-linux-gnu.
    let of_machine = fs::read_dir(&lib).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = of_machine.chain([lib.clone(), root.join("usr/lib64")]);
    folders.map(|dir| dir.join("faketime/libfaketime.so.1")).find(|path| path.is_file())
}
