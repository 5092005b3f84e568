//! The table of `docs/http-conformance.md`: that the tests which it names exist.

use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../../docs/http-conformance.md");

#[test]
fn every_row_names_tests_that_exist() {
    let rows: Vec<_> =
        TABLE.lines().filter(|line| line.starts_with("| 2.") || line.starts_with("| 5")).collect();
    assert!(rows.len() >= 20, "the table is there: {}", rows.len());
    for row in rows {
        let [section, .., tests] = row.trim_matches('|').split(" | ").collect::<Vec<_>>()[..]
        else {
            panic!("{row}")
        };
        let names: Vec<_> = tests.split_whitespace().filter(|name| *name != "|").collect();
        assert!(!names.is_empty(), "{section} names no test");
        for name in names {
            let name = name.trim_matches('`');
            assert!(exists(name), "{section}: {name}");
        }
    }
}

fn exists(name: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (folder, name) = match name.strip_prefix("payments::") {
        Some(name) => (root.join("examples/payments/tests"), name),
        None => (root.join("tests/http"), name),
    };
    let Some((module, function)) = name.rsplit_once("::") else { return false };
    let module = folder.join(module.replace("::", "/")).with_extension("rs");
    let text = fs::read_to_string(module).unwrap_or_default();
    let declared = format!("fn {function}(");
    // What is declared is run: by an attribute of its own, or as one that runs on every storage.
    let listed = text.lines().any(|line| line.trim() == format!("{function},"));
    let annotated = text.split("#[").any(|part| {
        (part.starts_with("test]") || part.starts_with("tokio::test"))
            && part.lines().nth(1).is_some_and(|line| line.contains(&declared))
    });
    text.contains(&declared) && (listed || annotated)
}
