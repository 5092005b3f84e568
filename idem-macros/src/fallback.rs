//! What is emitted for a wrong attribute: the errors, and the function as it was written.
//!
//! Without the function, every use of it would be an error as well, and the one that matters would drown.

use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn fallback(item: &TokenStream, errors: Option<&TokenStream>) -> TokenStream {
    quote!(#errors #item)
}
