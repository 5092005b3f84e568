//! The output for an attribute with mistakes: the errors, and the function as written.
//!
//! Without the function every use of it would be an error too, and hide the one that matters.

use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn fallback(item: &TokenStream, errors: Option<&TokenStream>) -> TokenStream {
    quote!(#errors #item)
}
