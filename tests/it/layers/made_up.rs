//! The graph of small crates that are made up: each with the cycle that it has, or none.

use super::{graph, source};

/// The cycles of a crate of these files.
fn cycles(files: &[(&str, &str)]) -> Vec<String> {
    let owned = |(file, text): &(&str, &str)| ((*file).to_owned(), (*text).to_owned());
    graph::of(&source::read(&files.iter().map(owned).collect())).cycles()
}

fn one_cycle(files: &[(&str, &str)], expected: &str) {
    assert_eq!(cycles(files), [expected]);
}

fn none(files: &[(&str, &str)]) {
    assert_eq!(cycles(files), [""; 0]);
}

#[test]
fn arrows_one_way_are_no_cycle() {
    none(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; use crate::c::C; struct A(B, C);"),
        ("b.rs", "pub struct B(crate::c::C);"),
        ("c.rs", "pub struct C;"),
    ]);
}

#[test]
fn upward_use_is_a_cycle() {
    one_cycle(
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::{B, self as other}; pub struct A(B);"),
            ("b.rs", "pub struct B; fn f(_: super::a::A) {}"),
        ],
        "  a needs b: crate::b, crate::b::B\n  b needs a: super::a::A\n",
    );
}

#[test]
fn long_cycle_is_told_whole() {
    one_cycle(
        &[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::c::*; pub struct B;"),
            ("c.rs", "use crate::{a::A as First, d::D}; pub struct C;"),
            ("d.rs", "pub struct D;"),
        ],
        "  a needs b: crate::b::B\n  b needs c: crate::c\n  c needs a: crate::a::A\n",
    );
}

#[test]
fn reexport_leads_to_the_module_that_defines_the_item() {
    let face = "mod low; mod high; pub use high::High; pub use low::Low;";
    none(&[
        ("lib.rs", "mod face; mod other;"),
        ("face/mod.rs", face),
        ("face/low.rs", "pub struct Low;"),
        ("face/high.rs", "use super::Low; pub struct High;"),
        ("other.rs", "use crate::face::High;"),
    ]);
    one_cycle(
        &[
            ("lib.rs", "mod face; mod other;"),
            ("face/mod.rs", face),
            ("face/low.rs", "use crate::other::Other; pub struct Low;"),
            ("face/high.rs", "pub struct High;"),
            ("other.rs", "use crate::face::*; pub struct Other(Low);"),
        ],
        "  face::low needs other: crate::other::Other\n  other needs face::low: Low\n",
    );
}

#[test]
fn parent_that_uses_its_child_and_is_used_by_it_is_a_cycle() {
    let child = ("parent/child.rs", "use super::Parent; pub struct Child(Parent);");
    none(&[
        ("lib.rs", "pub mod parent;"),
        ("parent.rs", "mod child; pub use child::Child; pub struct Parent;"),
        child,
    ]);
    let needs = "  parent::child needs parent: super::Parent\n";
    one_cycle(
        &[
            ("lib.rs", "pub mod parent;"),
            ("parent.rs", "mod child; pub use child::Child; pub struct Parent; fn f(_: Child) {}"),
            child,
        ],
        &format!("  parent needs parent::child: Child\n{needs}"),
    );
    one_cycle(
        &[
            ("lib.rs", "pub mod parent;"),
            ("parent.rs", "mod child; pub struct Parent; fn f() { child::g() }"),
            child,
        ],
        &format!("  parent needs parent::child: child::g\n{needs}"),
    );
}

#[test]
fn paths_inside_of_macros_count() {
    one_cycle(
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub fn f() { println!(\"{:?}\", [crate::b::B]) }"),
            ("b.rs", "pub struct B; macro_rules! m { () => { $crate::a::f() } }"),
        ],
        "  a needs b: crate::b::B\n  b needs a: crate::a::f\n",
    );
}

#[test]
fn inline_modules_belong_to_their_file() {
    none(&[(
        "lib.rs",
        "struct A; mod inner { use super::A; pub struct B(A); } fn f(_: inner::B) {}",
    )]);
    one_cycle(
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod inner { pub use super::super::b::B; } pub struct A;"),
            ("b.rs", "pub struct B(crate::a::A);"),
        ],
        "  a needs b: super::super::b::B\n  b needs a: crate::a::A\n",
    );
}

#[test]
fn tests_and_documentation_do_not_count() {
    none(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A(B); #[cfg(test)] mod tests;"),
        ("a/tests.rs", "use crate::nowhere::Nothing;"),
        (
            "b.rs",
            "/// As [`A`](crate::a::A).
            pub(in crate) struct B;
            #[cfg(all(test, feature = \"x\"))] use crate::a::A;
            #[cfg(test)] mod tests { use crate::a::A; }",
        ),
    ]);
}

#[test]
fn one_module_may_have_a_file_for_each_feature() {
    one_cycle(
        &[
            (
                "lib.rs",
                "#[cfg(a)] #[path = \"on.rs\"] mod m; #[cfg(not(a))] #[path = \"off.rs\"] mod m; mod n;",
            ),
            ("on.rs", "pub struct M(crate::n::N);"),
            ("off.rs", "pub struct M;"),
            ("n.rs", "pub fn f(_: crate::m::M) {} pub struct N;"),
        ],
        "  m needs n: crate::n::N\n  n needs m: crate::m::M\n",
    );
}

#[test]
#[should_panic(expected = "no module declares [\"b.rs\"]")]
fn file_that_no_module_declares_is_told() {
    cycles(&[("lib.rs", ""), ("b.rs", "")]);
}
