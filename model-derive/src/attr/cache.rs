//! `#[cache_fields(slug, (organization_id, name), ttl = "5m")]`
use super::items::items;
use super::keys::unknown_cache_key;
use super::literal::duration;
use super::normal::LookupField;
use super::slot::Slot;
use crate::ctxt::Ctxt;
use crate::ir::Ttl;
use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::token::Paren;
use syn::{Attribute, Error, Ident, Lit, Result, Token, parenthesized};

/// The lookups in the order of the attribute, and how long rows stay.
pub(crate) struct CacheAttr {
    pub(crate) lookups: Vec<LookupAttr>,
    pub(crate) ttl: Option<Ttl>,
}

/// `slug`, or `(organization_id, name)`.
pub(crate) struct LookupAttr {
    pub(crate) fields: Vec<LookupField>,
    pub(crate) span: Span,
}

impl CacheAttr {
    pub(super) fn read(cx: &Ctxt, attr: &Attribute) -> Self {
        let mut lookups = Vec::new();
        let mut ttl = Slot::new("ttl");
        items(cx, attr, "#[cache_fields()]` for the primary key alone, or `#[cache_fields(slug)]", |input| {
            if input.peek(Paren) {
                lookups.push(composite(cx, input)?);
            } else if input.peek2(Token![=]) {
                let key: Ident = input.parse()?;
                input.parse::<Token![=]>()?;
                if key != "ttl" {
                    return Err(unknown_cache_key(&key));
                }
                ttl.set(cx, key.span(), time_to_live(input)?);
            } else {
                let field = LookupField::read(cx, input)?;
                lookups.push(LookupAttr { span: field.name.span(), fields: vec![field] });
            }
            Ok(())
        });
        Self { lookups, ttl: ttl.take() }
    }
}

fn composite(cx: &Ctxt, input: ParseStream) -> Result<LookupAttr> {
    let inner;
    let parens = parenthesized!(inner in input);
    let mut fields = Vec::new();
    while !inner.is_empty() {
        fields.push(LookupField::read(cx, &inner)?);
        if !inner.is_empty() {
            inner.parse::<Token![,]>()?;
        }
    }
    match fields.first() {
        Some(first) => Ok(LookupAttr { span: first.name.span(), fields }),
        None => Err(Error::new(parens.span.join(), "a lookup needs a field; name one, or remove `()`")),
    }
}

fn time_to_live(input: ParseStream) -> Result<Ttl> {
    let written: Lit = input.parse()?;
    let Lit::Str(text) = &written else {
        let message = format!("a duration is a text with a unit; write `ttl = {}`", example(&written));
        return Err(Error::new(written.span(), message));
    };
    Ok(Ttl { millis: duration(text)?, span: text.span() })
}

/// `"300s"` for `300`.
fn example(written: &Lit) -> String {
    match written {
        Lit::Int(number) => format!("{:?}", format!("{}s", number.base10_digits())),
        _ => "\"5m\"".into(),
    }
}
