//! Names of fields.
use crate::ctxt::Ctxt;
use crate::ir::{Field, Part};
use crate::names::{list, nearest};
use syn::Ident;
use syn::ext::IdentExt;

/// Knows the fields of one model.
pub(super) struct Resolver<'m> {
    pub(super) cx: &'m Ctxt,
    pub(super) model: &'m Ident,
    pub(super) fields: &'m [Field],
    /// Fields that were refused already: naming one is no second mistake.
    pub(super) skipped: &'m [Ident],
}

impl Resolver<'_> {
    /// The field of this name; the nearest one where there is none, which is reported.
    pub(super) fn field(&self, name: &Ident) -> Option<usize> {
        let wanted = name.unraw().to_string();
        let found = self.fields.iter().find(|field| field.name() == wanted);
        if found.is_some() || self.skipped.iter().any(|field| field.unraw() == wanted) {
            return found.map(|field| field.index);
        }
        let nearest = nearest(&wanted, self.fields.iter().map(Field::name));
        let remedy = match &nearest {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("its fields are {}", list(self.fields.iter().map(Field::name))),
        };
        self.cx.error(name.span(), format!("no field `{wanted}` on `{}`; {remedy}", self.model.unraw()));
        let meant = self.fields.iter().find(|field| Some(field.name()) == nearest)?;
        Some(meant.index)
    }

    /// As [`field`](Self::field); `pk` is an alias of a primary key of one column.
    pub(super) fn key_or_field(&self, name: &Ident, key: &[Part]) -> Option<usize> {
        if name != "pk" || self.fields.iter().any(|field| field.ident == "pk") {
            return self.field(name);
        }
        if let [part] = key {
            return Some(part.index);
        }
        let columns = list(key.iter().map(|part| self.fields[part.index].name()));
        let message =
            format!("`pk` stands for a primary key of one column; this one has {columns}, name them");
        self.cx.error(name.span(), message);
        None
    }
}
