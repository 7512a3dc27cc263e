//! Paths and tuples that several surfaces name.
use super::normal;
use crate::ir::{Field, Key, Model};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

impl Model {
    // projects::slug
    //
    // The last segment has the field's span: rustc reports a column that is not there on the field.
    pub(super) fn column(&self, field: &Field) -> TokenStream {
        let (table, column) = (&self.table, &field.column);
        quote!(#table::#column)
    }

    // (__rt::Col<Project, projects::organization_id>, __rt::Col<Project, projects::name>,)
    //
    // Each with the span of the token that named it, where rustc reports a type that cannot be a key.
    pub(super) fn columns(&self, key: &Key) -> TokenStream {
        let model = &self.ident;
        let columns = key.parts.iter().map(|part| {
            let column = self.column(&self.fields[part.index]);
            quote_spanned!(here(part.span)=> __rt::Col<#model, #column>,)
        });
        quote_spanned!(here(key.span)=> (#(#columns)*))
    }

    // (__rt::Col<Project, projects::organization_id>, __rt::Normal<Project, projects::name, __Normal3Of1>,)
    //
    // As above, for the lookup at this place of the list, whose fields may have normal forms.
    pub(super) fn lookup_columns(&self, place: usize, key: &Key) -> TokenStream {
        let model = &self.ident;
        let columns = key.parts.iter().map(|part| {
            let column = self.column(&self.fields[part.index]);
            let span = here(part.span);
            if part.form.is_none() {
                return quote_spanned!(span=> __rt::Col<#model, #column>,);
            }
            let form = normal::name(place, part);
            quote_spanned!(span=> __rt::Normal<#model, #column, #form>,)
        });
        quote_spanned!(here(key.span)=> (#(#columns)*))
    }

    /// The bits of the fields that `belongs` picks.
    pub(super) fn mask(&self, belongs: impl Fn(&Field) -> bool) -> u64 {
        self.fields.iter().filter(|field| belongs(field)).map(Field::bit).sum()
    }
}

/// A span for generated tokens that rustc shows to the user: it points at `span`, and its names mean what they
/// mean in generated code, `self` included.
pub(super) fn here(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// The tokens, shown at `span`; each keeps the meaning that it has where it was written.
pub(super) fn shown_at(span: Span, tokens: TokenStream) -> TokenStream {
    let moved = tokens.into_iter().map(|mut token| {
        token.set_span(token.span().located_at(span));
        token
    });
    moved.collect()
}
