//! `#[cache_fields(slug, (organization_id, name), ttl = "5m", negative = "30s", outage = "refuse")]`
use super::items::items;
use super::keys::unknown_cache_key;
use super::literal::{duration, percent};
use super::normal::LookupField;
use super::slot::Slot;
use crate::ctxt::Ctxt;
use crate::ir::{Outage, Phase, Stage, Ttl};
use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::token::Paren;
use syn::{Attribute, Error, Ident, Lit, LitStr, Result, Token, parenthesized};

/// The lookups in the order of the attribute, and the settings that were given.
pub(crate) struct CacheAttr {
    pub(crate) lookups: Vec<LookupAttr>,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) jitter: Option<u8>,
    pub(crate) negative: Option<Ttl>,
    pub(crate) near: Option<Ttl>,
    pub(crate) outage: Option<Outage>,
    pub(crate) phase: Option<Stage>,
    pub(crate) negative_phase: Option<Stage>,
    pub(crate) name: Option<LitStr>,
}

/// The settings, each of which may be given once.
struct Settings {
    ttl: Slot<Ttl>,
    jitter: Slot<u8>,
    negative: Slot<Ttl>,
    near: Slot<Ttl>,
    outage: Slot<Outage>,
    phase: Slot<Stage>,
    negative_phase: Slot<Stage>,
    name: Slot<LitStr>,
}

impl Settings {
    fn read(&mut self, cx: &Ctxt, key: &Ident, input: ParseStream) -> Result<()> {
        match key.to_string().as_str() {
            "ttl" => self.ttl.set(cx, key.span(), time(key, input)?),
            "negative" => self.negative.set(cx, key.span(), time(key, input)?),
            "near" => self.near.set(cx, key.span(), time(key, input)?),
            "jitter" => self.jitter.set(cx, key.span(), percent(&input.parse()?)?),
            "outage" => self.outage.set(cx, key.span(), outage(&input.parse()?)?),
            "phase" => self.phase.set(cx, key.span(), stage(&input.parse()?)?),
            "negative_phase" => self.negative_phase.set(cx, key.span(), stage(&input.parse()?)?),
            "name" => self.name.set(cx, key.span(), name_in_keys(input.parse()?)?),
            _ => return Err(unknown_cache_key(key)),
        }
        Ok(())
    }
}

/// `slug`, or `(organization_id, name)`.
pub(crate) struct LookupAttr {
    pub(crate) fields: Vec<LookupField>,
    pub(crate) span: Span,
}

impl CacheAttr {
    pub(super) fn read(cx: &Ctxt, attr: &Attribute) -> Self {
        let mut lookups = Vec::new();
        let mut settings = Settings {
            ttl: Slot::new("ttl"),
            jitter: Slot::new("jitter"),
            negative: Slot::new("negative"),
            near: Slot::new("near"),
            outage: Slot::new("outage"),
            phase: Slot::new("phase"),
            negative_phase: Slot::new("negative_phase"),
            name: Slot::new("name"),
        };
        items(cx, attr, "#[cache_fields()]` for the primary key alone, or `#[cache_fields(slug)]", |input| {
            if input.peek(Paren) {
                lookups.push(composite(cx, input)?);
            } else if input.peek2(Token![=]) {
                let key: Ident = input.parse()?;
                input.parse::<Token![=]>()?;
                settings.read(cx, &key, input)?;
            } else {
                let field = LookupField::read(cx, input)?;
                lookups.push(LookupAttr { span: field.name.span(), fields: vec![field] });
            }
            Ok(())
        });
        let Settings { ttl, jitter, negative, near, outage, phase, negative_phase, name } = settings;
        Self {
            lookups,
            ttl: ttl.take(),
            jitter: jitter.take(),
            negative: negative.take(),
            near: near.take(),
            outage: outage.take(),
            phase: phase.take(),
            negative_phase: negative_phase.take(),
            name: name.take(),
        }
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

fn time(key: &Ident, input: ParseStream) -> Result<Ttl> {
    let written: Lit = input.parse()?;
    let Lit::Str(text) = &written else {
        let message = format!("a duration is a text with a unit; write `{key} = {}`", example(&written));
        return Err(Error::new(written.span(), message));
    };
    Ok(Ttl { millis: duration(text)?, span: text.span() })
}

/// A name stands between colons, and in the SQL of triggers.
fn name_in_keys(text: LitStr) -> Result<LitStr> {
    let name = text.value();
    let fit = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    match !name.is_empty() && name.chars().all(fit) {
        true => Ok(text),
        false => {
            let message = format!("`{name}` is no name for keys; use letters, digits, `_`, `-` and `.`");
            Err(Error::new(text.span(), message))
        }
    }
}

fn outage(text: &LitStr) -> Result<Outage> {
    match text.value().as_str() {
        "proceed" => Ok(Outage::Proceed),
        "refuse" => Ok(Outage::Refuse),
        "outbox" => Ok(Outage::Outbox),
        other => {
            let message = format!("`{other}` is no policy; it is \"proceed\", \"refuse\" or \"outbox\"");
            Err(Error::new(text.span(), message))
        }
    }
}

fn stage(text: &LitStr) -> Result<Stage> {
    let phase = match text.value().as_str() {
        "off" => Phase::Off,
        "write-only" => Phase::WriteOnly,
        "on" => Phase::On,
        other => {
            let message = format!("`{other}` is no phase; it is \"on\", \"write-only\" or \"off\"");
            return Err(Error::new(text.span(), message));
        }
    };
    Ok(Stage { phase, span: text.span() })
}

/// `"300s"` for `300`.
fn example(written: &Lit) -> String {
    match written {
        Lit::Int(number) => format!("{:?}", format!("{}s", number.base10_digits())),
        _ => "\"5m\"".into(),
    }
}
