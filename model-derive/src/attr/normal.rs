//! `name(iexact)`, `name(normalize = canon, sql = "canon_name")`
use super::container::field_name;
use super::keys::unknown;
use super::slot::Slot;
use crate::ctxt::Ctxt;
use crate::ir::Form;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::token::Paren;
use syn::{Error, Ident, LitStr, Path, Result, Token, parenthesized};

const KEYS: [&str; 3] = ["iexact", "normalize", "sql"];

/// A field of a lookup, and the form in which its values are compared.
pub(crate) struct LookupField {
    pub(crate) name: Ident,
    pub(crate) form: Option<Form>,
}

impl LookupField {
    pub(super) fn read(cx: &Ctxt, input: ParseStream) -> Result<Self> {
        let name = field_name(input)?;
        let form = if input.peek(Paren) { Some(form(cx, &name, input)?) } else { None };
        Ok(Self { name, form })
    }
}

fn form(cx: &Ctxt, field: &Ident, input: ParseStream) -> Result<Form> {
    let inner;
    let parens = parenthesized!(inner in input);
    let (mut iexact, mut function, mut sql) = (Slot::new("iexact"), Slot::new("normalize"), Slot::new("sql"));
    while !inner.is_empty() {
        let key = inner.call(Ident::parse_any)?;
        match key.to_string().as_str() {
            "iexact" => iexact.set(cx, key.span(), key.span()),
            "normalize" => function.set(cx, key.span(), path(&inner)?),
            "sql" => sql.set(cx, key.span(), sql_name(&inner)?),
            _ => return Err(unknown(&key, "cache_fields", &KEYS)),
        }
        if !inner.is_empty() {
            inner.parse::<Token![,]>()?;
        }
    }
    match (iexact.take(), function.take(), sql.take()) {
        (Some(span), None, None) => Ok(Form::Iexact(span)),
        (None, Some(function), Some(sql)) => Ok(Form::Mirrored { function, sql }),
        _ => Err(Error::new(
            parens.span.join(),
            format!(
                "a normal form is `{field}(iexact)`, or a Rust function and the SQL function that it mirrors: \
                 `{field}(normalize = canon, sql = \"canon\")`"
            ),
        )),
    }
}

fn path(input: ParseStream) -> Result<Path> {
    input.parse::<Token![=]>()?;
    input.call(Path::parse_mod_style)
}

/// The name goes into the statement as it is, so nothing else may be in it.
fn sql_name(input: ParseStream) -> Result<LitStr> {
    input.parse::<Token![=]>()?;
    let name: LitStr = input.parse()?;
    let text = name.value();
    let is_name =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match text.split('.').all(is_name) {
        true => Ok(name),
        false => Err(Error::new(
            name.span(),
            format!(
                "`{text}` is not the name of a SQL function; write it without parentheses: `sql = \"lower\"`"
            ),
        )),
    }
}
