//! The traits without bodies, beside the errors of a model that has some.
//!
//! The user's own calls of setters and lookups then have nothing to complain about: the first error is the
//! only one. The program does not run.
use super::row::identity;
use crate::ir::Model;
use proc_macro2::TokenStream;
use quote::quote;

// impl __rt::SentryModel for Project {
//     …types and constants…
//     fn dirty(&self, _: &Self) -> u64 { ::core::unreachable!() }
//     …
// }
// impl<__DB: __rt::Dialect> __rt::ModelSql<__DB> for Project { … }
pub(super) fn expand(model: &Model) -> TokenStream {
    let (ident, identity) = (&model.ident, identity(model));
    let never = quote!({ ::core::unreachable!() });
    quote! {
        #[automatically_derived]
        impl __rt::SentryModel for #ident {
            #identity
            fn state() -> &'static __rt::ModelState #never
            fn snapshot(&self) -> Self #never
            fn dirty(&self, _: &Self) -> ::core::primitive::u64 #never
            fn patch(&self, _: ::core::primitive::u64) -> __Patch #never
            fn apply(&mut self, _: &__Patch) #never
            fn swap_fields(&mut self, _: &mut Self, _: ::core::primitive::u64) #never
            fn unloaded(&self) -> ::core::primitive::u64 #never
            fn unload(&mut self, _: ::core::primitive::u64) #never
            fn merge(_: __Patch, _: __Patch) -> __Patch #never
            fn number(&self, _: &::core::primitive::str) -> ::core::option::Option<__rt::Number> #never
            fn describe<__D: __rt::Describe>(_: &mut __D) #never
            fn repr_fields(&self, _: &mut __rt::Repr<'_>) #never
        }
        #[automatically_derived]
        impl<__DB: __rt::Dialect> __rt::ModelSql<__DB> for #ident {
            fn table(_: __rt::AstPass<'_, '_, __DB>) -> __rt::QueryResult<()> #never
            fn visit<'b>(
                _: &'b __Patch,
                _: &mut __rt::Assignments<'b, __DB>,
            ) -> ::core::result::Result<(), __rt::Error> #never
            fn pk<'b>(&'b self, _: &mut __rt::Assignments<'b, __DB>) #never
            fn read_key<'r, __R: __rt::Row<'r, __DB>>(
                _: &__R,
            ) -> __rt::FromRow<<Self::Pk as __rt::KeyCols>::Key> #never
            fn read<'r, __R: __rt::Row<'r, __DB>>(_: &__R) -> __rt::FromRow<Self> #never
        }
    }
}
