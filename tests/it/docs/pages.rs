//! What the pages for users tell readers to type: blocks between fences, and statements in the text.

use std::fs;
use std::path::{Path, PathBuf};

/// A block between fences.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The page, from the root of the workspace.
    pub(super) page: String,
    /// The heading that it is under.
    pub(super) heading: String,
    /// The first word after the fence.
    pub(super) language: String,
    pub(super) text: String,
}

/// Code in the text.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) page: String,
    pub(super) text: String,
}

/// Languages of what a reader runs or writes into a file. Rust is compiled by rustdoc, and the rest is to be read.
const RUN: [&str; 8] = ["sql", "console", "sh", "bash", "ini", "conf", "toml", "yaml"];

/// What a statement, a command or a setting in the text begins with.
const BEGINNINGS: [&str; 14] = [
    "SELECT ",
    "ALTER ",
    "GRANT ",
    "REVOKE ",
    "CREATE ",
    "DELETE ",
    "UPDATE ",
    "INSERT ",
    "VACUUM ",
    "SET ",
    "INFO ",
    "CONFIG ",
    "redis-cli ",
    "cargo ",
];

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The pages: those in `docs` and `src`, and those at the root that users read.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
    for folder in ["docs", "src"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
        paths.extend(names.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path.to_string_lossy().into_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

/// The blocks of all pages that somebody runs.
pub(super) fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for (page, text) in pages() {
        let (mut heading, mut lines) = (String::new(), text.lines());
        while let Some(line) = lines.next() {
            if let Some(title) = line.strip_prefix('#') {
                title.trim_start_matches('#').trim().clone_into(&mut heading);
            }
            let Some(language) = line.trim_start().strip_prefix("```") else { continue };
            let language = language.split([',', ' ']).next().unwrap().to_owned();
            let inside = lines.by_ref().take_while(|line| line.trim() != "```");
            let text = inside.map(str::trim_start).collect::<Vec<_>>().join("\n");
            if RUN.contains(&language.as_str()) {
                let (page, heading) = (page.clone(), heading.clone());
                blocks.push(Block { page, heading, language, text });
            }
        }
    }
    blocks
}

/// The statements, commands and settings in the text of all pages.
pub(super) fn spans() -> Vec<Span> {
    let mut spans = Vec::new();
    for (page, text) in pages() {
        let mut fenced = false;
        let prose = text.lines().filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        });
        let prose = prose.map(str::trim).collect::<Vec<_>>().join("\n");
        // A paragraph has its code between the first and the second backtick, the third and the fourth, …
        for paragraph in prose.split("\n\n").flat_map(|text| text.split("\n- ")) {
            let code = paragraph.split('`').skip(1).step_by(2);
            let code = code.map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "));
            let code = code.filter(|code| is_run(code));
            spans.extend(code.map(|text| Span { page: page.clone(), text }));
        }
    }
    spans
}

fn is_run(code: &str) -> bool {
    let is_setting = code.split_once(" = ").is_some_and(|(name, value)| {
        let is_name = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        is_name && name.contains('_') && !value.starts_with(['"', '{'])
    });
    // What is left out cannot be run, and the name of a kind of statement is none.
    let is_whole = !code.contains('…') && code.contains(|letter: char| letter.is_lowercase());
    is_whole && (is_setting || BEGINNINGS.iter().any(|beginning| code.starts_with(beginning)))
}

/// The block at this place; the test fails where there is none.
pub(super) fn block(page: &str, heading: &str, language: &str, number: usize) -> String {
    let mut here = blocks().into_iter().filter(|block| {
        (&*block.page, &*block.heading, &*block.language) == (page, heading, language)
    });
    let found = here.nth(number);
    found
        .unwrap_or_else(|| panic!("{page} has no block {number} of {language} under {heading}"))
        .text
}
