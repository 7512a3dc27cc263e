//! What the user wrote, with its spans. Readers report to the `Ctxt` and never stop at a mistake.
mod bounded;
mod cache;
mod container;
mod diesel;
mod field;
mod items;
mod keys;
mod literal;
mod normal;
mod shape;
mod slot;

pub(crate) use cache::{CacheAttr, LookupAttr};
pub(crate) use container::ContainerAttrs;
pub(crate) use field::{FieldAttrs, Unsupported};
pub(crate) use literal::{integer, text};
pub(crate) use normal::LookupField;

use crate::ctxt::Ctxt;
use syn::{DeriveInput, Ident, Type, Visibility};

/// The struct and its attributes.
pub(crate) struct Syntax<'i> {
    pub(crate) ident: &'i Ident,
    pub(crate) vis: &'i Visibility,
    pub(crate) attrs: ContainerAttrs,
    pub(crate) fields: Vec<FieldSyntax<'i>>,
}

/// A field and its attributes.
pub(crate) struct FieldSyntax<'i> {
    pub(crate) ident: &'i Ident,
    pub(crate) ty: &'i Type,
    pub(crate) attrs: FieldAttrs,
}

/// Reads the input; `None` where it is not a row struct at all, which is reported.
pub(crate) fn read<'i>(cx: &Ctxt, input: &'i DeriveInput) -> Option<Syntax<'i>> {
    let named = shape::fields(cx, input)?;
    let attrs = ContainerAttrs::read(cx, &input.attrs);
    let fields = named.named.iter().filter_map(|field| {
        let attrs = FieldAttrs::read(cx, &field.attrs);
        Some(FieldSyntax { ident: field.ident.as_ref()?, ty: &field.ty, attrs })
    });
    Some(Syntax { ident: &input.ident, vis: &input.vis, attrs, fields: fields.collect() })
}
