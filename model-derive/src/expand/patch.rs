//! The patch: one optional assignment per field.
use crate::ir::Model;
use proc_macro2::TokenStream;
use quote::quote;

// pub struct __Patch {
//     id: Option<__rt::Assign<Project, projects::id>>,
//     slug: Option<__rt::Assign<Project, projects::slug>>,
//     …
// }
// impl Default for __Patch { fn default() -> Self { Self { id: None, slug: None, … } } }
// impl Clone for __Patch { … }
// impl Debug for __Patch { … }
//
// By hand, because a derive's bounds and its names would be those of the user's scope.
pub(super) fn expand(model: &Model) -> TokenStream {
    let (vis, ident) = (&model.vis, &model.ident);
    let fields: Vec<_> = model.fields.iter().map(|field| &field.ident).collect();
    let columns = model.fields.iter().map(|field| model.column(field));
    let name = format!("{}Patch", model.name());
    quote! {
        #[doc(hidden)]
        #vis struct __Patch {
            #(#fields: ::core::option::Option<__rt::Assign<#ident, #columns>>,)*
        }
        #[automatically_derived]
        impl ::core::default::Default for __Patch {
            fn default() -> Self {
                Self { #(#fields: ::core::option::Option::None,)* }
            }
        }
        #[automatically_derived]
        impl ::core::clone::Clone for __Patch {
            fn clone(&self) -> Self {
                Self { #(#fields: ::core::clone::Clone::clone(&self.#fields),)* }
            }
        }
        #[automatically_derived]
        impl ::core::fmt::Debug for __Patch {
            fn fmt(&self, __out: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Formatter::write_str(__out, #name)
            }
        }
    }
}
