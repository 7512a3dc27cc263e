//! The builder: a setter per field, and what ends a chain of them.
use super::docs;
use crate::ir::{Field, Model};
use crate::names;
use proc_macro2::{Ident, TokenStream};
use quote::quote;

// /// A pending operation on `Project`: …
// #[must_use = "nothing happens until `.execute(&mut db)`"]
// pub struct ProjectBuilder<__Op>(__Op);
//
// impl<__Op: __rt::HasPatch<Project>> ProjectBuilder<__Op> { …setters… }
// impl<__Op> ProjectBuilder<__Op> { …execute, set_sql, defaults, on_insert, matching, all_matches… }
// impl<__Op> Debug for ProjectBuilder<__Op> { … }
pub(super) fn expand(model: &Model) -> TokenStream {
    let (vis, ident) = (&model.vis, &model.ident);
    let builder = names::builder(ident);
    let (name, doc) = (builder.to_string(), docs::builder(model));
    let setters = model.fields.iter().map(|field| setter(model, field));
    let execute = execute(model);
    let set_sql = set_sql(model, &builder);
    let nested = nested(model, &builder);
    let matches = matches(model, &builder);
    quote! {
        #[doc = #doc]
        #[must_use = "nothing happens until `.execute(&mut db)`"]
        #vis struct #builder<__Op>(__Op);

        // A program need not use every setter, and a field may be called `is_active`.
        #[automatically_derived]
        #[allow(dead_code, clippy::wrong_self_convention)]
        impl<__Op: __rt::HasPatch<#ident>> #builder<__Op> {
            #(#setters)*
        }
        #[automatically_derived]
        #[allow(dead_code)]
        impl<__Op> #builder<__Op> {
            #execute
            #set_sql
            #nested
            #matches
        }
        #[automatically_derived]
        impl<__Op> ::core::fmt::Debug for #builder<__Op> {
            fn fmt(&self, __out: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Formatter::write_str(__out, #name)
            }
        }
    }
}

// /// Sets `slug` to a value or an `F` expression.
// pub fn slug<__K>(mut self, __value: impl __rt::Input<Project, projects::slug, __K>) -> Self {
//     __rt::HasPatch::patch(&mut self.0).slug = Some(__rt::Input::assign(__value));
//     self
// }
//
// /// Sets `events` …, refused outside 0 …
// pub fn events(mut self, __value: impl __rt::BoundedInput<Project, projects::events>) -> Self {
//     __rt::HasPatch::patch(&mut self.0).events = Some(__rt::BoundedInput::assign(__value));
//     self
// }
fn setter(model: &Model, field: &Field) -> TokenStream {
    let (vis, ident, name) = (&model.vis, &model.ident, &field.ident);
    let setter = names::setter(field, &model.fields);
    let column = model.column(field);
    let doc = docs::setter(field);
    let (generics, input, assign) = match &field.bounds {
        None => (quote!(<__K>), quote!(__rt::Input<#ident, #column, __K>), quote!(__rt::Input)),
        Some(_) => (quote!(), quote!(__rt::BoundedInput<#ident, #column>), quote!(__rt::BoundedInput)),
    };
    quote! {
        #[doc = #doc]
        #vis fn #setter #generics(mut self, __value: impl #input) -> Self {
            __rt::HasPatch::<#ident>::patch(&mut self.0).#name =
                ::core::option::Option::Some(#assign::assign(__value));
            self
        }
    }
}

// /// Runs the operation …
// pub fn execute<'d, __S: __rt::Runner>(self, __db: &'d mut __S) -> __S::Out<'d, __Op::Output>
// where
//     __Op: __rt::Operation<__S> + 'd,
// {
//     __rt::Runner::drive(__db, self.0)
// }
//
// Inherent: diesel-async's `RunQueryDsl::execute` is there for every type, and would compete with a trait's.
fn execute(model: &Model) -> TokenStream {
    let (vis, doc) = (&model.vis, docs::EXECUTE);
    quote! {
        #[doc = #doc]
        #vis fn execute<'d, __S: __rt::Runner>(self, __db: &'d mut __S) -> __S::Out<'d, __Op::Output>
        where
            __Op: __rt::Operation<__S> + 'd,
        {
            __rt::Runner::drive(__db, self.0)
        }
    }
}

// /// Sets a column to an expression of plain Diesel …
// pub fn set_sql<__C, __E>(
//     self,
//     __column: __C,
//     __sql: __E,
// ) -> ProjectBuilder<__rt::SetSql<__Op, __C, <__E as __rt::SqlFor<Project, __C>>::Sql>>
// where
//     __Op: __rt::HasSql,
//     __C: __rt::FieldOf<Project>,
//     __E: __rt::SqlFor<Project, __C>,
// {
//     ProjectBuilder(__rt::SetSql::new(self.0, __rt::SqlFor::into_sql(__sql)))
// }
fn set_sql(model: &Model, builder: &Ident) -> TokenStream {
    let (vis, ident, doc) = (&model.vis, &model.ident, docs::SET_SQL);
    quote! {
        #[doc = #doc]
        #vis fn set_sql<__C, __E>(
            self,
            __column: __C,
            __sql: __E,
        ) -> #builder<__rt::SetSql<__Op, __C, <__E as __rt::SqlFor<#ident, __C>>::Sql>>
        where
            __Op: __rt::HasSql,
            __C: __rt::FieldOf<#ident>,
            __E: __rt::SqlFor<#ident, __C>,
        {
            let _ = __column;
            #builder(__rt::SetSql::new(self.0, __rt::SqlFor::into_sql(__sql)))
        }
    }
}

// /// What an upsert writes beside its lookup …
// pub fn defaults(
//     mut self,
//     __fields: impl FnOnce(ProjectBuilder<__rt::Defaults<Project>>) -> ProjectBuilder<__rt::Defaults<Project>>,
// ) -> Self
// where
//     __Op: __rt::HasDefaults<Project>,
// {
//     let __given = __fields(ProjectBuilder(__rt::Defaults::new()));
//     __rt::HasDefaults::<Project>::set_defaults(&mut self.0, __rt::Defaults::into_patch(__given.0));
//     self
// }
//
// `on_insert` is the same with `HasOnInsert` and `set_on_insert`.
fn nested(model: &Model, builder: &Ident) -> TokenStream {
    let (vis, ident) = (&model.vis, &model.ident);
    let inner = quote!(#builder<__rt::Defaults<#ident>>);
    let method = |doc: &str, name: TokenStream, has: TokenStream, set: TokenStream| {
        quote! {
            #[doc = #doc]
            #vis fn #name(mut self, __fields: impl ::core::ops::FnOnce(#inner) -> #inner) -> Self
            where
                __Op: __rt::#has<#ident>,
            {
                let __given = __fields(#builder(__rt::Defaults::new()));
                __rt::#has::<#ident>::#set(&mut self.0, __rt::Defaults::into_patch(__given.0));
                self
            }
        }
    };
    let defaults = method(docs::DEFAULTS, quote!(defaults), quote!(HasDefaults), quote!(set_defaults));
    let on_insert = method(docs::ON_INSERT, quote!(on_insert), quote!(HasOnInsert), quote!(set_on_insert));
    quote!(#defaults #on_insert)
}

// /// Narrows the lookup …
// pub fn matching<__P>(self, __predicate: __P) -> ProjectBuilder<__rt::Matching<__Op, __P>>
// where
//     __Op: __rt::HasMatching,
//     __P: __rt::Predicate<Project>,
// {
//     ProjectBuilder(__rt::Matching::new(self.0, __predicate))
// }
//
// /// Lets `create_or_update()` update every row …
// pub fn all_matches(mut self) -> Self
// where
//     __Op: __rt::HasAllMatches,
// {
//     __rt::HasAllMatches::set_all_matches(&mut self.0);
//     self
// }
fn matches(model: &Model, builder: &Ident) -> TokenStream {
    let (vis, ident) = (&model.vis, &model.ident);
    let (matching, all_matches) = (docs::MATCHING, docs::ALL_MATCHES);
    quote! {
        #[doc = #matching]
        #vis fn matching<__P>(self, __predicate: __P) -> #builder<__rt::Matching<__Op, __P>>
        where
            __Op: __rt::HasMatching,
            __P: __rt::Predicate<#ident>,
        {
            #builder(__rt::Matching::new(self.0, __predicate))
        }
        #[doc = #all_matches]
        #vis fn all_matches(mut self) -> Self
        where
            __Op: __rt::HasAllMatches,
        {
            __rt::HasAllMatches::set_all_matches(&mut self.0);
            self
        }
    }
}
