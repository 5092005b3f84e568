//! `docs/recipes.md` shows the programs that are tested here, and no others.

use std::fs;
use std::path::Path;

/// The files that are shown, in the page's order.
const SHOWN: [&str; 8] = [
    "src/webhooks.rs",
    "src/queue.rs",
    "src/mail.rs",
    "src/daily.rs",
    "src/handler.rs",
    "src/shutdown.rs",
    "src/one_pool.rs",
    "tests/clock.rs",
];

#[test]
fn the_page_shows_the_recipes_as_they_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/recipes.md")).unwrap();
    let shown: Vec<_> = page
        .split("```rust,ignore\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0.to_owned())
        .collect();
    let tested = SHOWN.map(|file| fs::read_to_string(root.join(file)).unwrap());
    for ((file, tested), shown) in SHOWN.iter().zip(&tested).zip(&shown) {
        assert_eq!(tested, shown, "docs/recipes.md shows another {file}");
    }
    assert_eq!(shown.len(), SHOWN.len());
}
