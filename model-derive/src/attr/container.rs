//! The attributes of the struct.
use super::cache::CacheAttr;
use super::diesel::{self, Key};
use super::items::items;
use super::keys::{misplaced, name_of, unknown};
use super::slot::Slot;
use crate::ctxt::Ctxt;
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitStr, Path, Result, Token, parenthesized};

/// What the struct's attributes say.
pub(crate) struct ContainerAttrs {
    /// `#[diesel(table_name = …)]`
    pub(crate) table: Option<Path>,
    /// `#[diesel(primary_key(…))]`
    pub(crate) primary_key: Option<Vec<Ident>>,
    /// `#[cache_fields(…)]`
    pub(crate) cache: Option<CacheAttr>,
    /// `#[sane_repr(…)]`
    pub(crate) repr: Vec<Ident>,
    /// `#[sentry(crate = …)]`
    pub(crate) runtime: Option<Path>,
    /// `#[sentry(hooks)]`
    pub(crate) hooks: Option<Span>,
}

impl ContainerAttrs {
    pub(super) fn read(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut table = Slot::new("table_name");
        let mut primary_key = Slot::new("primary_key");
        let mut cache = Slot::new("#[cache_fields]");
        let mut repr = Slot::new("#[sane_repr]");
        let mut runtime = Slot::new("crate");
        let mut hooks = Slot::new("hooks");
        for attr in attrs {
            match name_of(attr).as_str() {
                "diesel" => diesel::keys(cx, attr, |key, input| {
                    match key.to_string().as_str() {
                        "table_name" => table.set(cx, key.span(), table_name(cx, input)?),
                        "primary_key" => primary_key.set(cx, key.span(), names(input)?),
                        _ => return Ok(Key::Other),
                    }
                    Ok(Key::Read)
                }),
                "cache_fields" => cache.set(cx, attr.path().span(), CacheAttr::read(cx, attr)),
                "sane_repr" => repr.set(cx, attr.path().span(), sane_repr(cx, attr)),
                "sentry" => items(cx, attr, "#[sentry(hooks)]` or `#[sentry(crate = path)]", |input| {
                    let key = input.call(Ident::parse_any)?;
                    match key.to_string().as_str() {
                        "crate" => runtime.set(cx, key.span(), runtime_path(input)?),
                        "hooks" => hooks.set(cx, key.span(), key.span()),
                        _ => return Err(unknown(&key, "sentry", &["crate", "hooks"])),
                    }
                    Ok(())
                }),
                "auto_now" | "auto_now_add" | "bounded" | "default" => misplaced(cx, attr, "a field"),
                _ => {}
            }
        }
        Self {
            table: table.take(),
            primary_key: primary_key.take(),
            cache: cache.take(),
            repr: repr.take().unwrap_or_default(),
            runtime: runtime.take(),
            hooks: hooks.take(),
        }
    }
}

fn table_name(cx: &Ctxt, input: ParseStream) -> Result<Path> {
    input.parse::<Token![=]>()?;
    let Some(text) = input.parse::<Option<LitStr>>()? else { return input.call(Path::parse_mod_style) };
    let message = format!("the table is a path, not a text; write `table_name = {}`", text.value());
    cx.error(text.span(), message);
    text.parse_with(Path::parse_mod_style)
}

/// A path, or one in quotes as serde has it.
fn runtime_path(input: ParseStream) -> Result<Path> {
    input.parse::<Token![=]>()?;
    match input.parse::<Option<LitStr>>()? {
        Some(text) => text.parse_with(Path::parse_mod_style),
        None => input.call(Path::parse_mod_style),
    }
}

fn names(input: ParseStream) -> Result<Vec<Ident>> {
    let inner;
    parenthesized!(inner in input);
    Ok(Punctuated::<Ident, Token![,]>::parse_terminated(&inner)?.into_iter().collect())
}

fn sane_repr(cx: &Ctxt, attr: &Attribute) -> Vec<Ident> {
    let mut listed: Vec<Ident> = Vec::new();
    items(cx, attr, "#[sane_repr(slug)]", |input| {
        let name = field_name(input)?;
        if listed.iter().any(|other| other.unraw() == name.unraw()) {
            return Err(Error::new(name.span(), format!("`{name}` is listed twice; keep one")));
        }
        listed.push(name);
        Ok(())
    });
    listed
}

/// The name of a field, which stands without quotes.
pub(super) fn field_name(input: ParseStream) -> Result<Ident> {
    let Some(text) = input.parse::<Option<LitStr>>()? else { return input.parse() };
    let remedy = match Ident::parse_any.parse_str(&text.value()) {
        Ok(name) => format!("write `{name}`"),
        Err(_) => "write its name".into(),
    };
    Err(Error::new(text.span(), format!("a field is named without quotes; {remedy}")))
}
