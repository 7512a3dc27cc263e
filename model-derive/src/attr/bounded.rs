//! `#[bounded]`, `#[bounded(positive)]`, `#[bounded(auto)]`, `#[bounded(min = -10, max = 10)]`
use super::items::items;
use super::keys::unknown;
use super::literal::integer;
use super::slot::Slot;
use crate::ctxt::Ctxt;
use crate::ir::{Limit, Max, Min};
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, Ident, Meta, Result, Token};

const KEYS: [&str; 4] = ["positive", "auto", "min", "max"];

/// The two ends of the range.
pub(crate) struct BoundedAttr {
    pub(crate) min: Min,
    pub(crate) max: Max,
}

impl BoundedAttr {
    pub(super) fn read(cx: &Ctxt, attr: &Attribute) -> Self {
        let mut min =
            Slot::among("the smallest value is set twice; keep one of `positive`, `auto` and `min`");
        let mut max = Slot::new("max");
        if !matches!(attr.meta, Meta::Path(_)) {
            items(cx, attr, "#[bounded(min = 0, max = 10)]", |input| {
                let key: Ident = input.parse()?;
                match key.to_string().as_str() {
                    "positive" => min.set(cx, key.span(), Min::Positive),
                    "auto" => min.set(cx, key.span(), Min::Auto),
                    "min" => min.set(cx, key.span(), Min::At(limit(&key, input)?)),
                    "max" => max.set(cx, key.span(), Max::At(limit(&key, input)?)),
                    _ => return Err(unknown(&key, "bounded", &KEYS)),
                }
                Ok(())
            });
        }
        Self { min: min.take().unwrap_or(Min::OfType), max: max.take().unwrap_or(Max::OfType) }
    }
}

fn limit(key: &Ident, input: ParseStream) -> Result<Limit> {
    if !input.peek(Token![=]) {
        return Err(Error::new(key.span(), format!("`{key}` needs a value; write `{key} = 100`")));
    }
    input.parse::<Token![=]>()?;
    let expr: Expr = input.parse()?;
    let message = || format!("`{key}` is an integer literal, as setters document it; write the number");
    let value = integer(&expr).ok_or_else(|| Error::new(expr.span(), message()))?;
    Ok(Limit { value, span: expr.span() })
}
