//! The written type of the function's value, and the places of wrappers in it.
//!
//! Only the compiler knows the types. The expansion passes it the constructor of each written
//! `Json<T>`, and the parts of tuples, `Option` and `Outcome` around it; the compiler decides how
//! each part is stored.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Path, PathArguments, Type};

use crate::wrapper::content;

/// The shape of a written type.
pub(crate) enum Shape {
    /// Without a hint for the compiler.
    Plain,
    /// `path::Json<T>`: the path without the argument, and the argument.
    Json(Path, TokenStream),
    /// `Option<T>` or `Outcome<T>`, with a `T` that is not plain.
    Inside(Box<Part>),
    /// A tuple.
    Tuple(Vec<Part>),
}

/// A part of a type.
pub(crate) struct Part {
    pub(crate) ty: TokenStream,
    pub(crate) shape: Shape,
}

/// The longest tuple whose parts are stored one by one.
const LONGEST_TUPLE: usize = 3;

pub(crate) fn of(ty: &Type) -> Shape {
    match ty {
        Type::Paren(paren) => of(&paren.elem),
        Type::Group(group) => of(&group.elem),
        Type::Tuple(tuple) if (2..=LONGEST_TUPLE).contains(&tuple.elems.len()) => {
            Shape::Tuple(tuple.elems.iter().map(part).collect())
        }
        Type::Path(path) if path.qself.is_none() => of_path(&path.path, ty).unwrap_or(Shape::Plain),
        _ => Shape::Plain,
    }
}

fn part(ty: &Type) -> Part {
    Part { ty: ty.to_token_stream(), shape: of(ty) }
}

fn of_path(path: &Path, ty: &Type) -> Option<Shape> {
    let content = content(ty)?;
    let name = &path.segments.last()?.ident;
    if name == "Json" {
        let constructor = constructor(path)?;
        return Some(Shape::Json(constructor, content.to_token_stream()));
    }
    if name != "Option" && name != "Outcome" {
        return None;
    }
    match part(content) {
        Part { shape: Shape::Plain, .. } => None,
        part => Some(Shape::Inside(Box::new(part))),
    }
}

/// The path of a type without the arguments of its last segment, if it can be imported.
fn constructor(path: &Path) -> Option<Path> {
    let mut constructor = path.clone();
    constructor.segments.last_mut()?.arguments = PathArguments::None;
    let can_be_imported = constructor.segments.iter().all(|segment| segment.arguments.is_none())
        && constructor.segments.first().is_some_and(|first| first.ident != "Self");
    can_be_imported.then_some(constructor)
}
