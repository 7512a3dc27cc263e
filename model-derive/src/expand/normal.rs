//! The normal forms that lookups are compared in: one type per field that has one.
use super::paths::{here, shown_at};
use crate::ir::{Caching, Field, Form, Model, Part};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

// pub struct __Normal2;
// impl __rt::Normalize<String> for __Normal2 {
//     const NAME: &'static str = "slug__iexact";
//     const FUNCTION: &'static str = "LOWER";
//     fn normal(__value: String) -> String {
//         __rt::NormalText::normalized(__value, |__text| __rt::iexact(__text))
//     }
// }
pub(super) fn expand(model: &Model) -> TokenStream {
    let Caching::On { lookups, .. } = &model.caching else { return TokenStream::new() };
    let parts = lookups.iter().enumerate().flat_map(|(lookup, key)| {
        key.parts.iter().filter_map(move |part| Some((lookup, part, part.form.as_ref()?)))
    });
    parts.map(|(lookup, part, form)| normalize(model, lookup, part, form)).collect()
}

/// The type of the form of a field in a lookup.
pub(super) fn name(lookup: usize, part: &Part) -> Ident {
    format_ident!("__Normal{}Of{}", part.index, lookup, span = Span::call_site())
}

fn normalize(model: &Model, lookup: usize, part: &Part, form: &Form) -> TokenStream {
    let (vis, field) = (&model.vis, &model.fields[part.index]);
    let (normal, ty) = (name(lookup, part), &field.ty);
    let (suffix, function) = match form {
        Form::Iexact(_) => ("iexact".to_owned(), "LOWER".to_owned()),
        Form::Mirrored { sql, .. } => (sql.value(), sql.value()),
    };
    let key_name = format!("{}__{suffix}", field.name());
    let normalized = normalized(field, form);
    quote! {
        #[doc(hidden)]
        #vis struct #normal;
        #[automatically_derived]
        impl __rt::Normalize<#ty> for #normal {
            const NAME: &'static ::core::primitive::str = #key_name;
            const FUNCTION: &'static ::core::primitive::str = #function;
            fn normal(__value: #ty) -> #ty {
                #normalized
            }
        }
    }
}

// At the form, where rustc reports a field that is no text, and a function of another type.
fn normalized(field: &Field, form: &Form) -> TokenStream {
    let (span, function) = match form {
        Form::Iexact(span) => (here(*span), quote_spanned!(here(*span)=> __rt::iexact)),
        Form::Mirrored { function, .. } => (here(function.span()), function.to_token_stream()),
    };
    let ty = shown_at(span, field.ty.to_token_stream());
    quote_spanned!(span=> <#ty as __rt::NormalText>::normalized(__value, |__text| #function(__text)))
}
