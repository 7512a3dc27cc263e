//! Fields: their columns, and what their attributes mean together.
use crate::attr::{FieldAttrs, FieldSyntax, Unsupported, text};
use crate::ctxt::Ctxt;
use crate::ir::{Bounds, Clock, Field, Start};
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Expr, Ident};

/// The fields of the model, and those that cannot be.
pub(super) struct Lowered {
    pub(super) fields: Vec<Field>,
    pub(super) skipped: Vec<Ident>,
}

pub(super) fn lower(cx: &Ctxt, written: Vec<FieldSyntax<'_>>) -> Lowered {
    let mut fields: Vec<Field> = Vec::new();
    let mut skipped = Vec::new();
    for FieldSyntax { ident, ty, attrs } in written {
        // Destructured in full: a new attribute has to say here what it means beside the others.
        let FieldAttrs { column, unsupported, bounded, auto_now, auto_now_add, default } = attrs;
        let column = column.unwrap_or_else(|| ident.clone());
        let twin = fields.iter().find(|other| other.column.unraw() == column.unraw());
        if let Some(twin) = twin {
            let message = format!("the column `{column}` is the field `{}` already; remove one", twin.ident);
            cx.error(column.span(), message);
        }
        if twin.is_some() || unsupported == Some(Unsupported::NotAColumn) {
            skipped.push(ident.clone());
            continue;
        }
        fields.push(Field {
            ident: ident.clone(),
            column,
            ty: ty.clone(),
            index: fields.len(),
            bounds: bounded.map(|(span, bounds)| Bounds { span, min: bounds.min, max: bounds.max }),
            clock: clock(cx, auto_now, auto_now_add),
            start: start(default),
        });
    }
    Lowered { fields, skipped }
}

/// `#[auto_now]` fills on create as well, so both together say nothing more than it alone.
fn clock(cx: &Ctxt, auto_now: Option<Span>, auto_now_add: Option<Span>) -> Clock {
    match (auto_now, auto_now_add) {
        (Some(_), Some(add)) => {
            let message = "`#[auto_now]` sets the field on create too; keep `#[auto_now]` for the time of the last \
                write, or `#[auto_now_add]` for that of the first";
            cx.error(add, message);
            Clock::Create(add)
        }
        (Some(span), None) => Clock::EveryWrite(span),
        (None, Some(span)) => Clock::Create(span),
        (None, None) => Clock::Never,
    }
}

fn start(default: Option<Expr>) -> Start {
    match default {
        None => Start::Database,
        Some(expr) => match text(&expr) {
            Some(text) => Start::Text(text.clone()),
            None => Start::Value(expr),
        },
    }
}
