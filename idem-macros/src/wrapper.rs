//! Arguments that may be wrappers: extractors of a web framework and pointers of the standard
//! library.
//!
//! The macro sees only names and patterns, so it marks candidates. The compiler decides by the
//! types: a type that serializes is hashed as it serializes, whatever its name.

use proc_macro2::{Ident, Span};
use syn::spanned::Spanned;
use syn::{Pat, Path, Type};

/// A wrapper, as the signature shows it.
pub(crate) struct Wrapper {
    /// The tuple struct whose only field the signature's pattern binds, and the span of the field.
    pub(crate) pattern: Option<(Path, Span)>,
    /// Whether it is called `State`, which all handlers share.
    pub(crate) is_state: bool,
}

/// Wrappers that hold one value, by the names of their types.
const NAMES: [&str; 8] = ["Json", "Path", "Query", "Form", "Extension", "State", "Arc", "Rc"];

/// The wrapper that an argument may be.
pub(crate) fn of_argument(pattern: &Pat, ty: &Type) -> Option<Wrapper> {
    let name = name(ty);
    let is_called = |called| name.is_some_and(|name| name == called);
    // A retry comes from another port: its address is hashed only if it serializes by itself.
    if is_called("ConnectInfo") {
        return None;
    }
    if let Pat::TupleStruct(taken) = pattern
        && taken.qself.is_none()
        && taken.elems.len() == 1
        && let Some(content) =
            taken.elems.first().filter(|content| !matches!(content, Pat::Rest(_)))
    {
        let is_state = taken.path.segments.last().is_some_and(|last| last.ident == "State");
        let pattern = Some((taken.path.clone(), content.span()));
        return Some(Wrapper { pattern, is_state: is_state || is_called("State") });
    }
    let is_wrapper = matches!(pattern, Pat::Ident(_) | Pat::Wild(_))
        && NAMES.iter().any(|name| is_called(name))
        && content(ty).is_some();
    is_wrapper.then(|| Wrapper { pattern: None, is_state: is_called("State") })
}

fn name(ty: &Type) -> Option<&Ident> {
    let Type::Path(path) = ty else { return None };
    path.path.segments.last().map(|segment| &segment.ident)
}

/// The only argument in the angle brackets of a type.
pub(crate) fn content(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(syn::GenericArgument::Type(ty)) if arguments.args.len() == 1 => Some(ty),
        _ => None,
    }
}
