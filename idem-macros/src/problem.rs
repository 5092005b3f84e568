//! Mistakes of the user: collected, so that all of one attribute are reported together.

use proc_macro2::TokenStream;
use quote::ToTokens;

/// One mistake: its span, what is wrong, and what to do.
#[derive(Debug)]
pub(crate) struct Problem(syn::Error);

impl Problem {
    /// A mistake in `tokens`. `help` goes below the message, as in the compiler's errors.
    pub(crate) fn new(
        tokens: impl ToTokens,
        message: impl AsRef<str>,
        help: impl AsRef<str>,
    ) -> Self {
        Self(syn::Error::new_spanned(tokens, text(message.as_ref(), help.as_ref())))
    }

    /// A mistake that the parser found.
    pub(crate) fn syntax(error: &syn::Error, help: impl AsRef<str>) -> Self {
        Self(syn::Error::new(error.span(), text(&error.to_string(), help.as_ref())))
    }
}

fn text(message: &str, help: &str) -> String {
    format!("{message}\n\n= help: {help}")
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Option<syn::Error>);

impl Problems {
    pub(crate) fn add(&mut self, Problem(error): Problem) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    /// The value, or none with its problem collected.
    pub(crate) fn take<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.add(problem)).ok()
    }

    /// `compile_error!` items, if there are mistakes.
    pub(crate) fn into_errors(self) -> Option<TokenStream> {
        self.0.map(|errors| errors.to_compile_error())
    }
}

/// The candidate that differs by a few letters.
pub(crate) fn did_you_mean<'c>(
    written: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let limit = written.len().max(3) / 3;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The help for a name that is not among the candidates.
pub(crate) fn one_of(written: &str, candidates: &[&str]) -> String {
    match did_you_mean(written, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("use one of {}", list(candidates)),
    }
}

/// "`a`, `b` and `c`".
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
