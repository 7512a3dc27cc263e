//! The `SentryModel` impl, composed of what the other files make.
use super::paths::{here, shown_at};
use super::{codec, fills, tracking};
use crate::ir::{Clock, Field, Model};
use crate::names;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};

// impl __rt::SentryModel for Project { … }
pub(super) fn expand(model: &Model) -> TokenStream {
    let ident = &model.ident;
    let parts = [
        identity(model),
        clock_masks(model),
        state(),
        tracking::expand(model),
        fills::expand(model),
        number(model),
        codec::expand(model),
        hooks(model),
        repr(model),
    ];
    quote! {
        #[automatically_derived]
        impl __rt::SentryModel for #ident {
            #(#parts)*
        }
    }
}

// type Table = projects::table;
// type Pk = (__rt::Col<Project, projects::id>,);
// type Patch = __Patch;
// type Builder<__Op> = ProjectBuilder<__Op>;
// const NAME: &'static str = "Project";
// const FIELDS: &'static [&'static str] = &["id", …];
// const COLUMNS: &'static [&'static str] = &[<projects::id as __rt::Column>::NAME, …];
// fn builder<__Op>(__op: __Op) -> ProjectBuilder<__Op> { ProjectBuilder(__op) }
// fn operation<__Op>(__builder: ProjectBuilder<__Op>) -> __Op { __builder.0 }
//
// The columns' names come from Diesel, which knows about `#[sql_name]`.
pub(super) fn identity(model: &Model) -> TokenStream {
    let (table, name) = (&model.table, model.name());
    let builder = names::builder(&model.ident);
    let key = model.columns(&model.key);
    let fields = model.fields.iter().map(Field::name);
    let columns = model.fields.iter().map(|field| model.column(field));
    quote! {
        type Table = #table::table;
        type Pk = #key;
        type Patch = __Patch;
        type Builder<__Op> = #builder<__Op>;
        const NAME: &'static ::core::primitive::str = #name;
        const FIELDS: &'static [&'static ::core::primitive::str] = &[#(#fields),*];
        const COLUMNS: &'static [&'static ::core::primitive::str] = &[#(<#columns as __rt::Column>::NAME),*];
        fn builder<__Op>(__op: __Op) -> #builder<__Op> {
            #builder(__op)
        }
        fn operation<__Op>(__builder: #builder<__Op>) -> __Op {
            __builder.0
        }
    }
}

// const AUTO_NOW: u64 = 128;
// const AUTO_NOW_ADD: u64 = 64;
fn clock_masks(model: &Model) -> TokenStream {
    let every_write = model.mask(|field| matches!(field.clock, Clock::EveryWrite(_)));
    let create = model.mask(|field| matches!(field.clock, Clock::Create(_)));
    let constant = |name: TokenStream, mask: u64| {
        (mask != 0).then(|| quote!(const #name: ::core::primitive::u64 = #mask;))
    };
    let (every_write, create) =
        (constant(quote!(AUTO_NOW), every_write), constant(quote!(AUTO_NOW_ADD), create));
    quote!(#every_write #create)
}

// fn state() -> &'static __rt::ModelState {
//     static __STATE: __rt::ModelState = __rt::ModelState::new();
//     &__STATE
// }
fn state() -> TokenStream {
    quote! {
        fn state() -> &'static __rt::ModelState {
            static __STATE: __rt::ModelState = __rt::ModelState::new();
            &__STATE
        }
    }
}

// fn number(&self, __column: &str) -> Option<__rt::Number> {
//     let __number = __rt::field_number::<Self, projects::id>(self, __column);
//     if Option::is_some(&__number) { return __number; }
//     …
//     None
// }
fn number(model: &Model) -> TokenStream {
    let columns = model.fields.iter().map(|field| model.column(field));
    quote! {
        fn number(&self, __column: &::core::primitive::str) -> ::core::option::Option<__rt::Number> {
            #(
                let __number = __rt::field_number::<Self, #columns>(self, __column);
                if ::core::option::Option::is_some(&__number) {
                    return __number;
                }
            )*
            ::core::option::Option::None
        }
    }
}

// fn hooks() -> Option<&'static __rt::HookSpec<Self>> {
//     static __HOOKS: __rt::HookSpec<Project> = __rt::hooks_of::<Project>();
//     Some(&__HOOKS)
// }
//
// At the attribute, where rustc reports a model that does not implement `Hooks`.
fn hooks(model: &Model) -> TokenStream {
    let Some(span) = model.hooks else { return TokenStream::new() };
    let ident = shown_at(here(span), model.ident.to_token_stream());
    let spec = quote_spanned!(here(span)=> __rt::hooks_of::<#ident>());
    quote! {
        fn hooks() -> ::core::option::Option<&'static __rt::HookSpec<Self>> {
            static __HOOKS: __rt::HookSpec<#ident> = #spec;
            ::core::option::Option::Some(&__HOOKS)
        }
    }
}

// fn repr_fields(&self, __out: &mut __rt::Repr<'_>) {
//     use __rt::ProbeField as _;
//     __rt::Repr::field(__out, "id", __rt::FieldProbe(&self.id).shown());
//     __rt::Repr::field(__out, "slug", __rt::FieldProbe(&self.slug).shown());
// }
//
// At the name in `#[sane_repr]`, where rustc reports a field that must not be printed.
fn repr(model: &Model) -> TokenStream {
    let fields = model.repr.iter().map(|shown| {
        let (name, field) = (&shown.name, &model.fields[shown.part.index].ident);
        quote_spanned! {here(shown.part.span)=>
            __rt::Repr::field(__out, #name, __rt::FieldProbe(&self.#field).shown());
        }
    });
    quote! {
        fn repr_fields(&self, __out: &mut __rt::Repr<'_>) {
            use __rt::ProbeField as _;
            #(#fields)*
        }
    }
}
