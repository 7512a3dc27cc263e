//! Field handles: the table's columns know which field of the model they are.
use super::bounds;
use super::paths::{here, shown_at};
use crate::ir::{Field, Model, Start};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

// impl __rt::FieldOf<Project> for projects::events {
//     type Value = i32;
//     const FIELD: &'static str = "events";
//     const INDEX: usize = 4;
//     const BOUNDS: Option<(i128, i128)> = Some((0, <i32 as __rt::BoundedInteger>::MAX));
//     fn get(__row: &Project) -> &Self::Value { &__row.events }
//     fn is_null(__value: &Self::Value) -> bool { (&__rt::Probe(__value)).is_null() }
//     fn slot(__patch: &mut __Patch) -> &mut Option<__rt::Assign<Project, Self>> { &mut __patch.events }
// }
pub(super) fn expand(model: &Model) -> TokenStream {
    model.fields.iter().map(|field| handle(model, field)).collect()
}

fn handle(model: &Model, field: &Field) -> TokenStream {
    let (ident, name, ty, index) = (&model.ident, &field.ident, &field.ty, field.index);
    let (column, text) = (model.column(field), field.name());
    let bounds = field.bounds.as_ref().map(|bounds| bounds::constant(field, bounds));
    let start = start(field);
    quote! {
        #[automatically_derived]
        impl __rt::FieldOf<#ident> for #column {
            type Value = #ty;
            const FIELD: &'static ::core::primitive::str = #text;
            const INDEX: ::core::primitive::usize = #index;
            #bounds
            fn get(__row: &#ident) -> &Self::Value {
                &__row.#name
            }
            fn slot(__patch: &mut __Patch) -> &mut ::core::option::Option<__rt::Assign<#ident, Self>> {
                &mut __patch.#name
            }
            fn is_null(__value: &Self::Value) -> ::core::primitive::bool {
                use __rt::{ProbeAny as _, ProbeOption as _};
                (&__rt::Probe(__value)).is_null()
            }
            #start
        }
    }
}

// fn start() -> Option<Self::Value> {
//     Some({ let __value: i32 = 5; __value })
// }
//
// A text is converted: `<String as From<&str>>::from("new")`. The binding gives any other expression the
// field's type to infer from.
fn start(field: &Field) -> Option<TokenStream> {
    let ty = &field.ty;
    let value = match &field.start {
        Start::Database => return None,
        Start::Text(text) => {
            let span = here(text.span());
            let ty = shown_at(span, ty.to_token_stream());
            quote_spanned!(span=> <#ty as ::core::convert::From<&::core::primitive::str>>::from(#text))
        }
        Start::Value(expr) => quote_spanned!(here(expr.span())=> { let __value: #ty = #expr; __value }),
    };
    Some(quote! {
        fn start() -> ::core::option::Option<Self::Value> {
            ::core::option::Option::Some(#value)
        }
    })
}
