//! Which columns a row is looked up by in the cache.
use crate::ir::{Caching, Key, Model};
use proc_macro2::TokenStream;
use quote::quote;

// impl __rt::CacheKey<Project> for projects::id {
//     type Cols = (__rt::Col<Project, projects::id>,);
//     const KIND: __rt::LookupKind = __rt::LookupKind::PrimaryKey;
// }
// impl __rt::CacheKey<Project> for (projects::organization_id, projects::name) {
//     type Cols = (__rt::Col<Project, projects::organization_id>, __rt::Col<Project, projects::name>,);
// }
// impl __rt::CacheKey<Project> for projects::slug {
//     type Cols = (__rt::Normal<Project, projects::slug, __Normal2Of1>,);
// }
//
// Nothing without `#[cache_fields]`: `get_from_cache` does not compile then.
pub(super) fn expand(model: &Model) -> TokenStream {
    let Caching::On { lookups, .. } = &model.caching else { return TokenStream::new() };
    let kind = quote!(
        const KIND: __rt::LookupKind = __rt::LookupKind::PrimaryKey;
    );
    let primary = lookup(model, &model.key, &model.columns(&model.key), &kind);
    let unique = lookups
        .iter()
        .enumerate()
        .map(|(place, key)| lookup(model, key, &model.lookup_columns(place, key), &TokenStream::new()));
    quote!(#primary #(#unique)*)
}

fn lookup(model: &Model, key: &Key, columns: &TokenStream, kind: &TokenStream) -> TokenStream {
    let (ident, handle) = (&model.ident, handle(model, key));
    quote! {
        #[automatically_derived]
        impl __rt::CacheKey<#ident> for #handle {
            type Cols = #columns;
            #kind
        }
    }
}

// projects::slug, or (projects::organization_id, projects::name)
pub(super) fn handle(model: &Model, key: &Key) -> TokenStream {
    let columns: Vec<_> = model.of(key).map(|field| model.column(field)).collect();
    match columns.as_slice() {
        [one] => one.clone(),
        several => quote!((#(#several),*)),
    }
}
