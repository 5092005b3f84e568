//! The names that a pattern binds, and the pattern by reference for the names that a key or an
//! option uses.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{FieldPat, Pat, PatIdent, PatWild, Token};

/// The names that `pattern` binds, from the left.
pub(crate) fn bindings(pattern: &Pat) -> Vec<Ident> {
    struct Names(Vec<Ident>);

    impl Visit<'_> for Names {
        fn visit_pat_ident(&mut self, pattern: &PatIdent) {
            self.0.push(pattern.ident.clone());
            visit::visit_pat_ident(self, pattern);
        }
    }

    let mut names = Names(Vec::new());
    names.visit_pat(pattern);
    names.0
}

/// The names in `expression` that may be arguments: no fields and methods.
pub(crate) fn names(expression: &impl ToTokens) -> Vec<Ident> {
    fn collect(tokens: TokenStream, names: &mut Vec<Ident>) {
        // Two of them are a range.
        let mut dots = 0;
        for token in tokens {
            let is_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
            match token {
                TokenTree::Ident(ident) if dots != 1 => names.push(ident),
                TokenTree::Group(group) => collect(group.stream(), names),
                _ => {}
            }
            dots = if is_dot { dots + 1 } else { 0 };
        }
    }

    let mut names = Vec::new();
    collect(expression.to_token_stream(), &mut names);
    names
}

/// `pattern` to match a reference to the value: it binds references to the names in `needed`, and
/// nothing else.
pub(crate) fn by_reference(pattern: &Pat, needed: &[Ident]) -> Pat {
    let mut pattern = pattern.clone();
    ByReference { needed }.visit_pat_mut(&mut pattern);
    pattern
}

struct ByReference<'n> {
    needed: &'n [Ident],
}

impl VisitMut for ByReference<'_> {
    fn visit_pat_mut(&mut self, pattern: &mut Pat) {
        match pattern {
            // The match binds by reference already; an explicit reference is an error there.
            Pat::Reference(reference) => *pattern = (*reference.pat).clone(),
            Pat::Ident(name) if !self.needed.contains(&name.ident) => {
                *pattern = match name.subpat.take() {
                    Some((_, inner)) => *inner,
                    None => wild(),
                };
            }
            Pat::Ident(name) => {
                name.by_ref = None;
                name.mutability = None;
                return visit_mut::visit_pat_mut(self, pattern);
            }
            _ => return visit_mut::visit_pat_mut(self, pattern),
        }
        self.visit_pat_mut(pattern);
    }

    fn visit_field_pat_mut(&mut self, field: &mut FieldPat) {
        visit_mut::visit_field_pat_mut(self, field);
        // `Point { x }` becomes `Point { x: _ }`, but `Point { x: x }` would be a warning.
        if !matches!(*field.pat, Pat::Ident(_)) {
            field.colon_token.get_or_insert_with(Default::default);
        }
    }
}

fn wild() -> Pat {
    Pat::Wild(PatWild { attrs: Vec::new(), underscore_token: <Token![_]>::default() })
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::parse::Parser;

    use super::*;

    #[test]
    fn names_are_not_those_of_fields_and_methods() {
        let expression = quote!(f(a.b.c(d)) + [e.0, ..g]);
        let names: Vec<_> = names(&expression).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["f", "a", "d", "e", "g"]);
    }

    fn rewritten(pattern: TokenStream, needed: &[&str]) -> String {
        let pattern = Pat::parse_single.parse2(pattern).unwrap();
        let needed: Vec<_> = needed.iter().map(|name| quote::format_ident!("{name}")).collect();
        by_reference(&pattern, &needed).into_token_stream().to_string()
    }

    #[test]
    fn only_what_is_needed_is_bound() {
        let pattern = quote!((mut a, Point { x, y: ref z, .. }, b @ Some(c)));
        assert_eq!(
            rewritten(pattern, &["a", "x", "c"]),
            "(a , Point { x , y : _ , .. } , Some (c))"
        );
    }

    #[test]
    fn references_are_left_to_the_mode_of_the_match() {
        assert_eq!(rewritten(quote!(&(a, &b)), &["b"]), "(_ , b)");
    }
}
