//! The `#[idempotent]` attribute of the crate [`idempotency`](https://docs.rs/idempotency), which
//! documents it.
//!
//! Three passes, each readable alone:
//!
//! | pass | from | to |
//! |---|---|---|
//! | `args`, `function` | tokens | the options and the function, as written |
//! | `validate` | the options and the function | a `Plan` without mistakes |
//! | `expand` | the plan | the function around its body |
//!
//! A pass does not stop at the first mistake: `Problems` collects them. If there are any,
//! `fallback` emits the errors and the function as written, so that one mistake is one error.

mod args;
mod duration;
mod expand;
mod fallback;
mod function;
mod owned;
mod placeholder;
mod problem;
mod returned;
mod shape;
mod tail;
mod template;
mod validate;
mod wrapper;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;

use self::problem::Problems;

/// Makes an async function take effect once per key: see the documentation in the crate
/// `idempotency`.
#[proc_macro_attribute]
pub fn idempotent(
    options: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    idempotent_tokens(options.into(), &item.into()).into()
}

fn idempotent_tokens(options: TokenStream, item: &TokenStream) -> TokenStream {
    let mut problems = Problems::default();
    let args = args::parse(options, &mut problems);
    validate::check_options(&args, &mut problems);
    let plan = function::parse(item.clone(), &mut problems)
        .and_then(|function| validate::validate(args, function, &mut problems));
    match (plan, problems.into_errors()) {
        (Some(plan), None) => expand::expand(&plan),
        (_, errors) => fallback::fallback(item, errors.as_ref()),
    }
}
