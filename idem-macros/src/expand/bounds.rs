//! The types of the result, and the bounds and the form that its value needs.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::spans::{mixed, mixed_at, outer_spans};
use crate::args::OnError;
use crate::returned::Returned;
use crate::shape::{self, Shape};
use crate::validate::Plan;

pub(super) fn requirements(plan: &Plan) -> TokenStream {
    let Returned { result, value, error, shape } = &plan.returned;
    let whole = require("result", result, result);
    let form = form(value, &value_type(plan), result, shape);
    let storable = quote_spanned!(mixed()=> let __idem_form = #form;);
    let replayable = matches!(plan.args.on_error, OnError::Replay)
        .then(|| require("replayed_error", error, &error_type(plan)));
    let convertible =
        plan.args.map_err.is_none().then(|| require("error", error, &error_type(plan)));
    let sent = plan.outlives_caller().then(|| {
        let value = require("sent", value, &value_type(plan));
        let error = require("sent", error, &error_type(plan));
        quote!(#value #error)
    });
    quote!(#whole #storable #replayable #convertible #sent)
}

/// The form in which the value `ty` of a `result` is stored; `place` is the span of an error.
fn form(place: &TokenStream, ty: &TokenStream, result: &TokenStream, shape: &Shape) -> TokenStream {
    let hint = match shape {
        Shape::Plain => quote!(()),
        Shape::Json(path, content) => quote_spanned! {mixed()=> {
            use __idem_private::wrapper::*;
            use #path as __IdemWrapper;
            __idem_field::<__IdemWrapper<#content>, _, _>(
                __IdemWrapper::<#content>,
                |__IdemWrapper::<#content>(__idem_held)| __idem_held,
            )
        }},
        Shape::Inside(part) => {
            let form = form_of_part(part);
            quote_spanned!(mixed()=> __idem_private::Inside(#form))
        }
        Shape::Tuple(parts) => {
            let forms = parts.iter().map(form_of_part);
            quote_spanned!(mixed()=> (#(#forms,)*))
        }
    };
    let (first, _) = outer_spans(place);
    let stored_as = quote::format_ident!("stored_as", span = mixed_at(first));
    quote_spanned! {mixed_at(first)=>
        __idem_private::#stored_as::<#ty, _>(
            __idem_private::Value::<#result, _>::new(#hint).stored_as(),
        )
    }
}

fn form_of_part(shape::Part { ty, shape }: &shape::Part) -> TokenStream {
    let result = quote_spanned!(mixed()=> __idem_private::Part<#ty>);
    form(ty, ty, &result, shape)
}

/// A call of `require_…` for `ty`, reported at `place`.
fn require(what: &str, place: &TokenStream, ty: &TokenStream) -> TokenStream {
    let (first, _) = outer_spans(place);
    let function = quote::format_ident!("require_{what}", span = mixed_at(first));
    quote_spanned!(mixed_at(first)=> __idem_private::#function::<#ty>();)
}

/// `T` of a `Result<T, E>` or of an alias of one.
pub(super) fn value_type(plan: &Plan) -> TokenStream {
    part_of_result(&plan.returned.result, &plan.returned.value, "Value")
}

/// `E` of a `Result<T, E>` or of an alias of one.
pub(super) fn error_type(plan: &Plan) -> TokenStream {
    part_of_result(&plan.returned.result, &plan.returned.error, "Error")
}

fn part_of_result(result: &TokenStream, place: &TokenStream, part: &str) -> TokenStream {
    let (first, last) = outer_spans(place);
    let part = quote::format_ident!("{part}", span = mixed_at(last));
    quote_spanned!(mixed_at(first)=> <#result as __idem_private::Returned>::#part)
}
