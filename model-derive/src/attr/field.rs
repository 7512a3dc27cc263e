//! The attributes of a field.
use super::bounded::BoundedAttr;
use super::diesel::{self, Key};
use super::keys::{misplaced, name_of};
use super::slot::Slot;
use crate::ctxt::Ctxt;
use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, Ident, LitStr, Meta, Result, Token};

/// What a field's attributes say.
pub(crate) struct FieldAttrs {
    /// `#[diesel(column_name = …)]`
    pub(crate) column: Option<Ident>,
    /// A key of Diesel's that a model cannot have.
    pub(crate) unsupported: Option<Unsupported>,
    pub(crate) bounded: Option<(Span, BoundedAttr)>,
    pub(crate) auto_now: Option<Span>,
    pub(crate) auto_now_add: Option<Span>,
    pub(crate) default: Option<Expr>,
}

/// A key of Diesel's that a model cannot have.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unsupported {
    /// The field is no column of the table.
    NotAColumn,
    /// It is, but stored in another way than its type says.
    OtherStorage,
}

impl FieldAttrs {
    pub(super) fn read(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut column = Slot::new("column_name");
        let mut unsupported = None;
        let mut bounded = Slot::new("#[bounded]");
        let mut auto_now = Slot::new("#[auto_now]");
        let mut auto_now_add = Slot::new("#[auto_now_add]");
        let mut default = Slot::new("#[default]");
        for attr in attrs {
            let span = attr.path().span();
            match name_of(attr).as_str() {
                "diesel" => diesel::keys(cx, attr, |key, input| {
                    if key == "column_name" {
                        column.set(cx, key.span(), column_name(input)?);
                        return Ok(Key::Read);
                    }
                    unsupported = refuse(cx, key).or(unsupported);
                    Ok(Key::Other)
                }),
                "bounded" => bounded.set(cx, span, (span, BoundedAttr::read(cx, attr))),
                "auto_now" => auto_now.set(cx, span, flag(cx, attr)),
                "auto_now_add" => auto_now_add.set(cx, span, flag(cx, attr)),
                "default" => default.set(cx, span, value(cx, attr)),
                "cache_fields" | "sane_repr" | "sentry" => misplaced(cx, attr, "the struct"),
                _ => {}
            }
        }
        Self {
            column: column.take(),
            unsupported,
            bounded: bounded.take(),
            auto_now: auto_now.take(),
            auto_now_add: auto_now_add.take(),
            default: default.take().flatten(),
        }
    }
}

/// An identifier or a text, as in Diesel.
fn column_name(input: ParseStream) -> Result<Ident> {
    input.parse::<Token![=]>()?;
    let Some(text) = input.parse::<Option<LitStr>>()? else { return input.parse() };
    // A column named like a keyword is a raw identifier in `table!`.
    text.parse().or_else(|_| syn::parse_str(&format!("r#{}", text.value()))).map(|mut name: Ident| {
        name.set_span(text.span());
        name
    })
}

/// Reports a key that contradicts what a field is: one column, read and bound as the field's own type.
fn refuse(cx: &Ctxt, key: &Ident) -> Option<Unsupported> {
    let (kind, remedy) = match key.to_string().as_str() {
        "embed" => (Unsupported::NotAColumn, "list the embedded columns as fields of the model"),
        "select_expression" | "select_expression_type" => {
            (Unsupported::NotAColumn, "select the expression beside the model, in a tuple")
        }
        "skip_insertion" => (Unsupported::OtherStorage, "remove it: `create()` writes what is set, no more"),
        "skip_update" => (Unsupported::OtherStorage, "remove it: `update()` writes what is set, no more"),
        "serialize_as" | "deserialize_as" => {
            (Unsupported::OtherStorage, "make that type the field's own: it is bound and read as it is")
        }
        _ => return None,
    };
    cx.error(key.span(), format!("a model does not support `#[diesel({key})]`; {remedy}"));
    Some(kind)
}

/// An attribute without a value.
fn flag(cx: &Ctxt, attr: &Attribute) -> Span {
    if !matches!(attr.meta, Meta::Path(_)) {
        let name = name_of(attr);
        cx.error(attr.meta.span(), format!("`#[{name}]` takes no value; write `#[{name}]`"));
    }
    attr.path().span()
}

fn value(cx: &Ctxt, attr: &Attribute) -> Option<Expr> {
    let given = match &attr.meta {
        Meta::List(list) if !list.tokens.is_empty() => list.parse_args(),
        meta => Err(syn::Error::new(meta.span(), "`#[default]` needs a value; write `#[default(0)]`")),
    };
    given.map_err(|error| cx.syn_error(error)).ok()
}
