//! From what was written to what it means: names become fields, pairs of attributes one meaning.
//!
//! What has no meaning, such as the name of a field that is not there, is reported here and replaced by the
//! nearest thing that has one, so that the stubs beside the errors are as complete as can be.
mod fields;
mod keys;
mod resolve;

use crate::attr::Syntax;
use crate::ctxt::Ctxt;
use crate::ir::{Model, Part, Shown};
use proc_macro2::Span;
use resolve::Resolver;
use syn::Path;
use syn::ext::IdentExt;
use syn::parse_quote;

/// The model; `None` without a table or without a field, which are reported.
pub(crate) fn lower(cx: &Ctxt, syntax: Syntax<'_>) -> Option<Model> {
    let Syntax { ident, vis, attrs, fields } = syntax;
    let lowered = fields::lower(cx, fields);
    let resolver = Resolver { cx, model: ident, fields: &lowered.fields, skipped: &lowered.skipped };
    let table = attrs.table.or_else(|| missing_table(cx, ident));
    if lowered.fields.is_empty() {
        return None;
    }
    let key = keys::primary_key(&resolver, attrs.primary_key.as_deref());
    let caching = keys::caching(&resolver, &key, attrs.cache);
    let repr = repr(&resolver, &key.parts, &attrs.repr);
    Some(Model {
        ident: ident.clone(),
        vis: vis.clone(),
        runtime: attrs.runtime.unwrap_or_else(|| parse_quote!(::model_runtime)),
        table: table?,
        fields: lowered.fields,
        key,
        caching,
        hooks: attrs.hooks,
        repr,
    })
}

/// Diesel guesses the table from the struct's name; a guess that is wrong is an error about something else.
fn missing_table(cx: &Ctxt, model: &syn::Ident) -> Option<Path> {
    let message =
        "the model's table is not named; add `#[diesel(table_name = projects)]` with the table's path";
    cx.error(model.span(), message);
    None
}

/// The fields listed, after the primary key where none of it is listed.
fn repr(resolver: &Resolver<'_>, key: &[Part], listed: &[syn::Ident]) -> Vec<Shown> {
    let shown = |part: Part, name: String| Shown { name, part };
    let listed: Vec<Shown> = listed
        .iter()
        .filter_map(|name| {
            let index = resolver.key_or_field(name, key)?;
            Some(shown(Part { index, span: name.span(), form: None }, name.unraw().to_string()))
        })
        .collect();
    let names_the_row = listed
        .iter()
        .any(|field| field.name == "id" || key.iter().any(|part| part.index == field.part.index));
    let unlisted = if names_the_row { &[] } else { key };
    let unlisted = unlisted.iter().map(|part| {
        let field = &resolver.fields[part.index];
        shown(Part { index: part.index, span: Span::call_site(), form: None }, field.name())
    });
    unlisted.chain(listed).collect()
}
