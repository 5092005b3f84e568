//! Tables of the pages for users, for tests that compare them with what the code does.

/// The cells of the first table under `heading`, row by row and without its head.
///
/// # Panics
///
/// When the page has no such heading, or no table under it.
pub fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = page.split_once(&format!("\n{heading}\n")).expect("a heading of this name");
    let lines = below.lines().take_while(|line| !line.starts_with('#'));
    let rows = lines.skip_while(|line| !line.starts_with('|'));
    let rows: Vec<_> = rows
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim().trim_matches('|').split(" | ").map(cell).collect())
        .collect();
    assert!(!rows.is_empty(), "there is no table under {heading}");
    rows
}

fn cell(text: &str) -> String {
    text.trim().to_owned()
}

/// What stands in a cell between backticks.
pub fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}
