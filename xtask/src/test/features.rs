//! The features of a package.

use std::{fs, io};

use crate::root;

/// The names of the facade's features, without `default`.
pub(super) fn all() -> Vec<String> {
    // Without a manifest cargo would not have started this.
    of("Cargo.toml").unwrap_or_default()
}

/// The names of the features in a manifest, without `default` and those of the workspace's own use.
///
/// # Errors
///
/// Those of reading the manifest.
pub(super) fn of(manifest: &str) -> io::Result<Vec<String>> {
    Ok(in_manifest(&fs::read_to_string(root().join(manifest))?))
}

/// An argument for cargo that switches all of them on.
///
/// Unlike `--all-features` it leaves alone what other packages switch on for a single test, and what cargo would then give to all tests.
pub(super) fn all_as_argument() -> String {
    let names: Vec<_> = all().iter().map(|name| format!("idempotency/{name}")).collect();
    format!("--features={}", names.join(","))
}

fn in_manifest(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[features]").skip(1);
    let table = lines.take_while(|line| !line.starts_with('['));
    let names = table
        .filter(|line| !line.starts_with([' ', '#', ']']))
        .filter_map(|line| line.split_once('='));
    names
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| name != "default" && !name.starts_with('_'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_from_their_table_only() {
        let manifest = "[package]\nname = \"x\"\n\n[features]\ndefault = [\"json\"]\n## About.\njson = []\n_own = []\n\
                        redis = [\n    \"json\",\n]\n\n[dependencies]\nserde = { version = \"1\" }\n";
        assert_eq!(in_manifest(manifest), ["json", "redis"]);
        assert!(in_manifest("[package]\n").is_empty());
    }
}
