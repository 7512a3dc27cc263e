//! Copies, differences and patches of rows.
use super::paths::here;
use crate::ir::Model;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

// fn snapshot(&self) -> Self {
//     Self { id: Clone::clone(&self.id), … }
// }
// fn dirty(&self, __base: &Self) -> u64 {
//     __rt::is_dirty::<Self, projects::id>(self, __base) | …
// }
// fn patch(&self, __mask: u64) -> __Patch {
//     __Patch { id: __rt::copy_if(self, __mask), … }
// }
// fn apply(&mut self, __patch: &__Patch) {
//     __rt::apply(&mut self.id, &__patch.id);
//     …
// }
// fn swap_fields(&mut self, __other: &mut Self, __mask: u64) {
//     __rt::swap_if(&mut self.id, &mut __other.id, __mask, 0);
//     …
// }
// fn unloaded(&self) -> u64 {
//     use __rt::ProbeField as _;
//     __rt::FieldProbe(&self.id).unloaded(0) | …
// }
// fn unload(&mut self, __mask: u64) {
//     use __rt::ProbeField as _;
//     __rt::FieldProbe(&mut self.id).unload(__mask, 0);
//     …
// }
// fn merge(__first: __Patch, __second: __Patch) -> __Patch {
//     __Patch { id: Option::or(__first.id, __second.id), … }
// }
//
// Where a field is no `Uncached`, `unloaded` is 0 and `unload` does nothing.
pub(super) fn expand(model: &Model) -> TokenStream {
    let fields: Vec<_> = model.fields.iter().map(|field| &field.ident).collect();
    let columns = model.fields.iter().map(|field| model.column(field));
    let indexes: Vec<_> = model.fields.iter().map(|field| field.index).collect();
    // At the field's type, where rustc reports an `Option` of an `Uncached`.
    let unloaded = model.fields.iter().map(|field| {
        let (mut name, index, span) = (field.ident.clone(), field.index, here(field.ty.span()));
        name.set_span(span);
        quote_spanned!(span=> __rt::FieldProbe(&self.#name).unloaded(#index))
    });
    quote! {
        fn snapshot(&self) -> Self {
            Self { #(#fields: ::core::clone::Clone::clone(&self.#fields),)* }
        }
        fn dirty(&self, __base: &Self) -> ::core::primitive::u64 {
            #(__rt::is_dirty::<Self, #columns>(self, __base))|*
        }
        fn patch(&self, __mask: ::core::primitive::u64) -> __Patch {
            __Patch { #(#fields: __rt::copy_if(self, __mask),)* }
        }
        fn apply(&mut self, __patch: &__Patch) {
            #(__rt::apply(&mut self.#fields, &__patch.#fields);)*
        }
        fn swap_fields(&mut self, __other: &mut Self, __mask: ::core::primitive::u64) {
            #(__rt::swap_if(&mut self.#fields, &mut __other.#fields, __mask, #indexes);)*
        }
        fn unloaded(&self) -> ::core::primitive::u64 {
            use __rt::ProbeField as _;
            #(#unloaded)|*
        }
        fn unload(&mut self, __mask: ::core::primitive::u64) {
            use __rt::ProbeField as _;
            #(__rt::FieldProbe(&mut self.#fields).unload(__mask, #indexes);)*
        }
        fn merge(__first: __Patch, __second: __Patch) -> __Patch {
            __Patch { #(#fields: ::core::option::Option::or(__first.#fields, __second.#fields),)* }
        }
    }
}
