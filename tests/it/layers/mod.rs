//! Arrows point one way: no module of the published crates needs itself by way of others.
//!
//! The graph is computed from the sources. Its nodes are the modules that have a file, and an inline module belongs to the one it is in.
//! A module needs another where a `use` or a path in its code leads to an item of that one, also through re-exports: the module that
//! defines it counts, not those in between. So a parent that only declares its children and shows their items needs none of them; a
//! parent that uses an item of a child's, while the child uses one of its parent's own, is a cycle. What is only called as a method is not
//! seen, and neither are the links of documentation. Modules for tests are left out.

mod graph;
mod made_up;
mod source;

use std::fmt::Write;
use std::path::Path;

const CRATES: [&str; 4] = ["idem-macros", "idem-runtime", "idem-outbox", "idem-http"];

#[test]
fn no_module_needs_itself_by_way_of_others() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cycles = String::new();
    for name in CRATES {
        let modules = source::read(&source::files(&workspace.join(name)));
        for cycle in graph::of(&modules).cycles() {
            write!(cycles, "in {name}\n{cycle}").unwrap();
        }
    }
    assert!(cycles.is_empty(), "modules need each other:\n{cycles}");
}
