//! How a row is cached, and the fingerprint of its schema.
use super::lookups::handle;
use super::paths::here;
use crate::ir::{Caching, Model, Outage, Phase};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::LitStr;
use syn::spanned::Spanned;

pub(super) fn expand(model: &Model) -> TokenStream {
    let cache = cache(model);
    let describe = describe(model);
    quote!(#cache #describe)
}

// fn cache() -> Option<&'static __rt::CacheSpec<Self>> {
//     const fn __lookup<__Key: __rt::CacheKey<Project>>() -> __rt::LookupSpec<Project> {
//         __rt::LookupSpec::of::<__Key::Cols>()
//     }
//     static __SPEC: __rt::CacheSpec<Project> = __rt::CacheSpec {
//         name: "Project",
//         ttl_ms: 300000,
//         jitter_percent: 10,
//         negative_ms: 0,
//         near_ms: 0,
//         phase: __rt::Phase::On,
//         negative_phase: __rt::Phase::On,
//         outage: __rt::OutagePolicy::Proceed,
//         text_of: __rt::key_text::<(__rt::Col<Project, projects::id>,)>,
//         text: <(__rt::Col<Project, projects::id>,) as __rt::KeyTexts>::text,
//         lookups: &[__lookup::<projects::slug>(), …],
//         encode: |__row, __out| {
//             __rt::Encoder::field(__out, &__row.id)?;
//             …
//             Ok(())
//         },
//         decode: |__input| Ok(Project { id: __rt::Decoder::field(__input)?, … }),
//     };
//     Some(&__SPEC)
// }
//
// `__lookup` asks for no more than the impls of `CacheKey` gave: a type that cannot be a key is an error there
// and not a second time here. Field by field: serde attributes on the struct are the user's, and the cache does not ask for them.
fn cache(model: &Model) -> Option<TokenStream> {
    let Caching::On { ttl, jitter, negative, near, outage, phase, negative_phase, name, lookups } =
        &model.caching
    else {
        return None;
    };
    let negative_phase = phase_of(negative_phase.map_or(Phase::On, |stage| stage.phase));
    let phase = phase_of(*phase);
    let (ident, ttl, negative) = (&model.ident, ttl.millis, negative.as_ref().map_or(0, |ttl| ttl.millis));
    let near = near.as_ref().map_or(0, |age| age.millis);
    let outage = policy(*outage);
    let name = name.as_ref().map_or_else(|| model.name(), LitStr::value);
    let key = model.columns(&model.key);
    let lookups = lookups.iter().map(|key| handle(model, key));
    let (encode, decode) = (encode(model), decode(model));
    Some(quote! {
        fn cache() -> ::core::option::Option<&'static __rt::CacheSpec<Self>> {
            const fn __lookup<__Key: __rt::CacheKey<#ident>>() -> __rt::LookupSpec<#ident> {
                __rt::LookupSpec::of::<__Key::Cols>()
            }
            static __SPEC: __rt::CacheSpec<#ident> = __rt::CacheSpec {
                name: #name,
                ttl_ms: #ttl,
                jitter_percent: #jitter,
                negative_ms: #negative,
                near_ms: #near,
                phase: #phase,
                negative_phase: #negative_phase,
                outage: #outage,
                text_of: __rt::key_text::<#key>,
                text: <#key as __rt::KeyTexts>::text,
                lookups: &[#(__lookup::<#lookups>()),*],
                encode: |__row, __out| {
                    #encode
                    ::core::result::Result::Ok(())
                },
                decode: |__input| ::core::result::Result::Ok(#ident { #decode }),
            };
            ::core::option::Option::Some(&__SPEC)
        }
    })
}

fn policy(outage: Outage) -> TokenStream {
    match outage {
        Outage::Proceed => quote!(__rt::OutagePolicy::Proceed),
        Outage::Refuse => quote!(__rt::OutagePolicy::Refuse),
        Outage::Outbox => quote!(__rt::OutagePolicy::Outbox),
    }
}

fn phase_of(phase: Phase) -> TokenStream {
    match phase {
        Phase::Off => quote!(__rt::Phase::Off),
        Phase::WriteOnly => quote!(__rt::Phase::WriteOnly),
        Phase::On => quote!(__rt::Phase::On),
    }
}

// At the field's type, where rustc reports one that serde cannot write.
fn encode(model: &Model) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let (mut name, span) = (field.ident.clone(), here(field.ty.span()));
        name.set_span(span);
        quote_spanned!(span=> __rt::Encoder::field(__out, &__row.#name)?;)
    });
    fields.collect()
}

fn decode(model: &Model) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let (name, span) = (&field.ident, here(field.ty.span()));
        let value = quote_spanned!(span=> __rt::Decoder::field(__input)?);
        quote!(#name: #value,)
    });
    fields.collect()
}

// fn describe<__D: __rt::Describe>(__out: &mut __D) {
//     __rt::Describe::field::<Self, projects::id>(__out);
//     …
// }
fn describe(model: &Model) -> TokenStream {
    let columns = model.fields.iter().map(|field| model.column(field));
    quote! {
        fn describe<__D: __rt::Describe>(__out: &mut __D) {
            #(__rt::Describe::field::<Self, #columns>(__out);)*
        }
    }
}
