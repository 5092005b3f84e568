//! The public API as text: the listings of `tests/api`.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use crate::{
    run::{Outcome, cargo, run},
    servers::target,
};

/// Compares the public API with the listings.
pub(crate) fn compare() -> Outcome {
    list("")
}

/// Writes the listings.
pub(crate) fn write() -> bool {
    list("--write").success
}

fn list(how: &str) -> Outcome {
    let rustdoc = match rustdoc() {
        Ok(rustdoc) => rustdoc,
        Err(error) => {
            eprintln!("cannot write a launcher of rustdoc: {error}");
            return Outcome::FAILURE;
        }
    };
    // The packages and features of the step `docs`, so that dependencies are not checked again.
    let mut docs = cargo("doc --workspace --no-deps --all-features --quiet");
    docs.env("RUSTDOC", rustdoc).env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json");
    let docs = run(&mut docs);
    if !docs.success {
        return docs;
    }
    let mut list = cargo("run --quiet --package idem-api --");
    list.arg(target().join("doc"));
    if !how.is_empty() {
        list.arg(how);
    }
    run(&mut list)
}

/// A rustdoc that may write JSON. Told through the environment of the whole build, dependencies would be built again as if for a
/// nightly compiler.
fn rustdoc() -> std::io::Result<PathBuf> {
    let launcher = target().join("tools/rustdoc-json");
    fs::create_dir_all(target().join("tools"))?;
    fs::write(&launcher, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n")?;
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
    Ok(launcher)
}
