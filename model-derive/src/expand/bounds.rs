//! `#[bounded]`: the range as a constant of the field's handle, and the check that it fits the type.
use super::paths::{here, shown_at};
use crate::ir::{Bounds, Field, Limit, Max, Min, Model};
use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

// const BOUNDS: Option<(i128, i128)> = Some((0, <i32 as __rt::BoundedInteger>::MAX));
pub(super) fn constant(field: &Field, bounds: &Bounds) -> TokenStream {
    let min = match &bounds.min {
        Min::OfType => of_type(field, bounds, &quote!(MIN)),
        Min::Positive => quote!(0),
        Min::Auto => quote!(1),
        Min::At(limit) => literal(*limit),
    };
    let max = match &bounds.max {
        Max::OfType => of_type(field, bounds, &quote!(MAX)),
        Max::At(limit) => literal(*limit),
    };
    quote! {
        const BOUNDS: ::core::option::Option<(::core::primitive::i128, ::core::primitive::i128)> =
            ::core::option::Option::Some((#min, #max));
    }
}

// const _: () = {
//     if -10 < <i32 as __rt::BoundedInteger>::MIN {
//         ::core::panic!("`min` of `#[bounded]` on `Project.events` is below the smallest value of its type; raise it")
//     }
// };
//
// Only for ends that the user wrote: those of the type, and 0 and 1, always fit.
pub(super) fn asserts(model: &Model) -> TokenStream {
    let asserts = model.fields.iter().filter_map(|field| {
        let bounds = field.bounds.as_ref()?;
        let min = match &bounds.min {
            Min::At(limit) => Some(assert(model, field, bounds, *limit, End::Smallest)),
            _ => None,
        };
        let max = match &bounds.max {
            Max::At(limit) => Some(assert(model, field, bounds, *limit, End::Largest)),
            Max::OfType => None,
        };
        Some(quote!(#min #max))
    });
    asserts.collect()
}

#[derive(Clone, Copy)]
enum End {
    Smallest,
    Largest,
}

fn assert(model: &Model, field: &Field, bounds: &Bounds, limit: Limit, end: End) -> TokenStream {
    let (key, relation, remedy) = match end {
        End::Smallest => ("min", "below the smallest", "raise it"),
        End::Largest => ("max", "above the largest", "lower it"),
    };
    let place = format!("`{}.{}`", model.name(), field.name());
    let message = format!("`{key}` of `#[bounded]` on {place} is {relation} value of its type; {remedy}");
    let value = literal(limit);
    let outside = match end {
        End::Smallest => {
            let smallest = of_type(field, bounds, &quote!(MIN));
            quote!(#value < #smallest)
        }
        End::Largest => {
            let largest = of_type(field, bounds, &quote!(MAX));
            quote!(#value > #largest)
        }
    };
    quote_spanned! {here(limit.span)=>
        const _: () = {
            if #outside {
                ::core::panic!(#message)
            }
        };
    }
}

/// An end of the type's own range, all of it at the attribute: rustc reports a type that is no integer there.
fn of_type(field: &Field, bounds: &Bounds, end: &TokenStream) -> TokenStream {
    let span = here(bounds.span);
    let ty = shown_at(span, field.ty.to_token_stream());
    quote_spanned!(span=> <#ty as __rt::BoundedInteger>::#end)
}

fn literal(limit: Limit) -> TokenStream {
    let digits = Literal::i128_suffixed(limit.value);
    quote!(#digits)
}
