//! The derive macro of `model-runtime`. Depend on that crate: it re-exports the macro beside the trait.
//!
//! One call runs through five rooms: `attr` reads what the user wrote, `lower` gives it a meaning (`ir`),
//! `check` refuses meanings that are not allowed, and `expand` writes the code. `derive` shows the whole way
//! on one screen.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod attr;
mod check;
mod ctxt;
mod derive;
mod expand;
mod ir;
mod lower;
mod names;

#[doc = include_str!("manual.md")]
#[proc_macro_derive(
    SentryModel,
    attributes(auto_now, auto_now_add, bounded, cache_fields, default, diesel, sane_repr, sentry)
)]
pub fn derive_sentry_model(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    derive::derive(&syn::parse_macro_input!(input as syn::DeriveInput)).into()
}
