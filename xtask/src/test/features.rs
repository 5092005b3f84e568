//! The features of the facade, each of which must compile without the others.

/// The names in the `[features]` table of a manifest, but for `default`.
pub(super) fn in_manifest(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[features]").skip(1);
    let table = lines.take_while(|line| !line.starts_with('['));
    let names = table
        .filter(|line| !line.starts_with([' ', '#', ']']))
        .filter_map(|line| line.split_once('='));
    names.map(|(name, _)| name.trim().to_owned()).filter(|name| name != "default").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_from_their_table_only() {
        let manifest = "[package]\nname = \"x\"\n\n[features]\ndefault = [\"json\"]\n## About.\njson = []\n\
                        redis = [\n    \"json\",\n]\n\n[dependencies]\nserde = { version = \"1\" }\n";
        assert_eq!(in_manifest(manifest), ["json", "redis"]);
        assert!(in_manifest("[package]\n").is_empty());
    }
}
