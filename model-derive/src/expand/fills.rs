//! What fields take where they are not given.
use super::paths::{here, shown_at};
use crate::ir::{Clock, Field, Model};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

// Each only where a field has it; the trait's own do nothing.
pub(super) fn expand(model: &Model) -> TokenStream {
    let every_write = |field: &Field| match field.clock {
        Clock::EveryWrite(span) => Some(span),
        Clock::Create(_) | Clock::Never => None,
    };
    let create = |field: &Field| match field.clock {
        Clock::Create(span) => Some(span),
        Clock::EveryWrite(_) | Clock::Never => None,
    };
    let auto_now = from_clock(model, &quote!(auto_now), every_write);
    let auto_now_add = from_clock(model, &quote!(auto_now_add), create);
    let defaults = defaults(model);
    let vacant = vacant(model);
    quote!(#auto_now #auto_now_add #defaults #vacant)
}

// fn auto_now(__patch: &mut __Patch, __now: SystemTime) {
//     __rt::fill_now::<Self, projects::date_updated>(&mut __patch.date_updated, __now);
// }
//
// At the attribute, where rustc reports a field that is no timestamp.
fn from_clock(
    model: &Model,
    method: &TokenStream,
    span: impl Fn(&Field) -> Option<Span>,
) -> Option<TokenStream> {
    let filled: Vec<_> = model
        .fields
        .iter()
        .filter_map(|field| {
            let (name, column) = (&field.ident, model.column(field));
            Some(quote_spanned!(here(span(field)?)=> __rt::fill_now::<Self, #column>(&mut __patch.#name, __now);))
        })
        .collect();
    if filled.is_empty() {
        return None;
    }
    Some(quote! {
        fn #method(__patch: &mut __Patch, __now: ::std::time::SystemTime) {
            #(#filled)*
        }
    })
}

// fn defaults(__patch: &mut __Patch) {
//     __rt::fill_default(&mut __patch.events);
// }
fn defaults(model: &Model) -> Option<TokenStream> {
    let filled: Vec<_> =
        model.fields.iter().filter(|field| field.has_start()).map(|field| &field.ident).collect();
    if filled.is_empty() {
        return None;
    }
    Some(quote! {
        fn defaults(__patch: &mut __Patch) {
            #(__rt::fill_default(&mut __patch.#filled);)*
        }
    })
}

// fn vacant(&self) -> u64 {
//     __rt::vacant::<Self, projects::id>(self)
// }
fn vacant(model: &Model) -> Option<TokenStream> {
    let vacant: Vec<_> = model
        .fields
        .iter()
        .filter(|field| field.is_assigned_by_database())
        .map(|field| {
            let span = here(field.bounds.as_ref().map_or_else(Span::call_site, |bounds| bounds.span));
            let column = shown_at(span, model.column(field));
            quote_spanned!(span=> __rt::vacant::<Self, #column>(self))
        })
        .collect();
    if vacant.is_empty() {
        return None;
    }
    Some(quote! {
        fn vacant(&self) -> ::core::primitive::u64 {
            #(#vacant)|*
        }
    })
}
