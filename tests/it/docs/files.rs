//! Files that the documentation names are there.

use std::fs;
use std::path::{Path, PathBuf};

use super::pages::root;

/// Every page of the workspace, in any folder that holds one.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders: Vec<_> =
        ["", ".github", "docs", "docs/reports", "src", "tests", "examples/payments"]
            .map(|folder| root().join(folder))
            .to_vec();
    while let Some(folder) = folders.pop() {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    pages
}

/// The targets of `[text](target)` outside of code.
fn links(page: &str) -> Vec<&str> {
    let mut fenced = false;
    let prose = page.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    });
    prose
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ']).next())
        .collect()
}

#[test]
fn links_lead_to_files() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let file = link.split('#').next().unwrap();
            // A name in angle brackets or with `::` is rustdoc's.
            if file.is_empty() || file.contains(':') || !file.contains(['/', '.']) {
                continue;
            }
            let target = page.parent().unwrap_or(Path::new("/")).join(file);
            assert!(target.exists(), "{} links to {link}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} links");
}

#[test]
fn the_table_of_tests_names_what_is_there() {
    let tests = root().join("tests");
    let text = fs::read_to_string(tests.join("README.md")).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let named: Vec<_> = rows
        .iter()
        .filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | "))
        .flat_map(|(_, files)| files.split('`').skip(1).step_by(2))
        .collect();
    for file in &named {
        let path = tests.join(file);
        let is_there = if file.ends_with('/') { path.is_dir() } else { path.is_file() };
        assert!(is_there, "tests/README.md names {file}");
    }
    // And none is missing: each file of the guarantees, each folder of tests.
    let guarantees = fs::read_dir(tests.join("it/guarantees")).unwrap();
    let guarantees = guarantees.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for file in guarantees.filter(|name| name != "mod.rs") {
        assert!(named.contains(&format!("it/guarantees/{file}").as_str()), "no row for {file}");
    }
    for entry in fs::read_dir(&tests).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let is_named = text.contains(&format!("`{name}/"));
        assert!(is_named || !entry.path().is_dir(), "tests/README.md says nothing of {name}/");
    }
}
