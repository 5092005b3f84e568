//! The return type: the `Result` in it, and types that are certainly no `Result`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{
    AngleBracketedGenericArguments, AssocType, GenericArgument, PathArguments, ReturnType, Type,
    TypeImplTrait, TypeParamBound,
};

use crate::problem::Problem;
use crate::shape::{self, Shape};

/// Types of the prelude and the language that are no `Result`.
const NO_RESULTS: [&str; 24] = [
    "bool", "char", "str", "String", "Option", "Vec", "Box", "Arc", "Rc", "Duration", "u8", "u16",
    "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64",
];

/// The type of an async function's result, or of the future that another function returns.
pub(crate) struct Returned {
    /// Something that should be a `Result`.
    pub(crate) result: TokenStream,
    /// The tokens of the value's and the error's types, or the whole type if they cannot be told
    /// apart. For the spans of errors.
    pub(crate) value: TokenStream,
    pub(crate) error: TokenStream,
    /// The written shape of the value, if the type is called `Result`.
    pub(crate) shape: Shape,
}

/// The type that an `async fn` with this output returns.
pub(crate) fn of_async_fn(name: &impl ToTokens, output: &ReturnType) -> Result<Returned, Problem> {
    match output {
        ReturnType::Default => Err(Problem::new(
            name,
            "`#[idempotent]` needs a function that returns a `Result`",
            "return `Result<(), idempotency::Error>`, so that a refused duplicate can return its error",
        )),
        ReturnType::Type(_, ty) => of_result(ty),
    }
}

/// The output of the future that a function with this return type makes.
pub(crate) fn of_future(ty: &Type) -> Result<Returned, Problem> {
    if let Some(output) = future_output(ty) {
        return of_result(output);
    }
    // An alias of a boxed future: the compiler resolves its output.
    let result = quote!(<#ty as ::core::future::Future>::Output);
    let (value, error) = (ty.to_token_stream(), ty.to_token_stream());
    Ok(Returned { result, value, error, shape: Shape::Plain })
}

fn of_result(ty: &Type) -> Result<Returned, Problem> {
    if let Some(name) = no_result(ty) {
        return Err(Problem::new(
            ty,
            format!("`#[idempotent]` needs a function that returns a `Result`, not {name}"),
            "return `Result<T, E>` with `E: From<idempotency::Error>`, so that a refused duplicate can return its error",
        ));
    }
    if let Some(opaque) = first_impl_trait(ty) {
        return Err(Problem::new(
            opaque,
            "an `impl Trait` cannot be stored and replayed",
            "name the returned type, which has to be `Serialize` and `DeserializeOwned`",
        ));
    }
    let arguments = arguments(ty).unwrap_or_default();
    if let Some(Type::Reference(reference)) = arguments.first() {
        return Err(Problem::new(
            reference,
            "a reference cannot be stored and replayed",
            "return the value itself: `String` for `&str`, `Vec<T>` for `&[T]`, `T` for `&T`",
        ));
    }
    let tokens = |index: usize| {
        arguments.get(index).map_or_else(|| ty.to_token_stream(), ToTokens::to_token_stream)
    };
    let shape =
        arguments.first().filter(|_| is_called_result(ty)).map_or(Shape::Plain, |ty| shape::of(ty));
    Ok(Returned { result: ty.to_token_stream(), value: tokens(0), error: tokens(1), shape })
}

fn is_called_result(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Result"))
}

/// The name of a type that is certainly no `Result`, for an error.
fn no_result(ty: &Type) -> Option<String> {
    match ty {
        Type::Paren(paren) => no_result(&paren.elem),
        Type::Group(group) => no_result(&group.elem),
        Type::Tuple(tuple) if tuple.elems.is_empty() => Some("`()`".into()),
        Type::Tuple(_) => Some("a tuple".into()),
        Type::Array(_) | Type::Slice(_) => Some("an array".into()),
        Type::Reference(_) | Type::Ptr(_) => Some("a reference".into()),
        Type::Never(_) => Some("`!`".into()),
        Type::ImplTrait(_) => Some("an `impl Trait`".into()),
        Type::TraitObject(_) => Some("a trait object".into()),
        Type::Path(path) if path.qself.is_none() => {
            let name = path.path.segments.last()?.ident.to_string();
            let written = if arguments(ty).is_some() {
                format!("`{name}<…>`")
            } else {
                format!("`{name}`")
            };
            NO_RESULTS.contains(&name.as_str()).then_some(written)
        }
        _ => None,
    }
}

/// The types between the angle brackets of a path's last segment.
fn arguments(ty: &Type) -> Option<Vec<&Type>> {
    let types = angle_brackets(ty)?.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some(types.collect())
}

fn angle_brackets(ty: &Type) -> Option<&AngleBracketedGenericArguments> {
    let Type::Path(path) = ty else { return None };
    match &path.path.segments.last()?.arguments {
        PathArguments::AngleBracketed(arguments) => Some(arguments),
        _ => None,
    }
}

fn first_impl_trait(ty: &Type) -> Option<TypeImplTrait> {
    struct First(Option<TypeImplTrait>);

    impl Visit<'_> for First {
        fn visit_type_impl_trait(&mut self, found: &TypeImplTrait) {
            self.0.get_or_insert_with(|| found.clone());
            visit::visit_type_impl_trait(self, found);
        }
    }

    let mut first = First(None);
    first.visit_type(ty);
    first.0
}

/// The output of a written future type: `impl Future<Output = T>`, `Pin<Box<dyn Future<Output =
/// T>>>`, `BoxFuture<T>`.
fn future_output(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Paren(paren) => future_output(&paren.elem),
        Type::Group(group) => future_output(&group.elem),
        Type::ImplTrait(opaque) => bounds_output(&opaque.bounds),
        Type::TraitObject(object) => bounds_output(&object.bounds),
        Type::Path(path) => {
            let name = &path.path.segments.last()?.ident;
            let arguments = arguments(ty)?;
            let inner = *arguments.last()?;
            if name == "Pin" || name == "Box" {
                future_output(inner)
            } else if name == "BoxFuture" || name == "LocalBoxFuture" {
                Some(inner)
            } else {
                None
            }
        }
        _ => None,
    }
}

fn bounds_output<'b>(bounds: impl IntoIterator<Item = &'b TypeParamBound>) -> Option<&'b Type> {
    bounds.into_iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let segment = bound.path.segments.last()?;
        let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Output" => {
                Some(ty)
            }
            _ => None,
        })
    })
}

/// Whether the type may be a future: an alias may have any name but that of a type which is
/// certainly none.
pub(crate) fn may_be_future(ty: &Type) -> bool {
    is_future(ty) || (no_result(ty).is_none() && arguments(ty).is_none_or(|types| types.len() < 2))
}

/// Whether the type is written as a future.
pub(crate) fn is_future(ty: &Type) -> bool {
    future_output(ty).is_some()
}
