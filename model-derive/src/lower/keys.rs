//! The primary key and the cached lookups.
use super::resolve::Resolver;
use crate::attr::{CacheAttr, LookupAttr, LookupField};
use crate::ir::{Caching, Key, Outage, Part, Ttl};
use proc_macro2::Span;
use syn::Ident;
use syn::ext::IdentExt;

/// Where `ttl` is not given, the five minutes of `sentry.db.models`: enough to spare the database, and few until a row
/// that another program changes behind the cache is right again.
const DEFAULT_TTL_MS: u64 = 5 * 60 * 1000;

/// Where `jitter` is not given: entries that were filled together do not expire together.
const DEFAULT_JITTER: u8 = 10;

/// `#[diesel(primary_key(…))]` names columns, as for Diesel; without it the column is `id`.
pub(super) fn primary_key(resolver: &Resolver<'_>, written: Option<&[Ident]>) -> Key {
    let by_column = |name: &Ident| resolver.fields.iter().find(|field| field.column.unraw() == name.unraw());
    let parts: Vec<Part> = match written {
        Some(names) => {
            let part = |name: &Ident| {
                let index = by_column(name).map(|field| field.index).or_else(|| resolver.field(name))?;
                Some(Part { index, span: name.span(), form: None })
            };
            names.iter().filter_map(part).collect()
        }
        None => by_column(&Ident::new("id", Span::call_site()))
            .map(|field| Part { index: field.index, span: field.ident.span(), form: None })
            .into_iter()
            .collect(),
    };
    if parts.is_empty() && written.is_none_or(<[Ident]>::is_empty) {
        no_primary_key(resolver);
    }
    let span = parts.first().map_or_else(|| resolver.model.span(), |part| part.span);
    // The stubs need a key, whichever it is.
    let parts = if parts.is_empty() {
        vec![Part { index: 0, span, form: None }]
    } else {
        without_repeats(resolver, parts)
    };
    Key { parts, span }
}

fn no_primary_key(resolver: &Resolver<'_>) {
    if resolver.skipped.iter().any(|field| field == "id") {
        return;
    }
    let message =
        "no field for the primary key `id`; add it, or name the key with `#[diesel(primary_key(…))]`";
    resolver.cx.error(resolver.model.span(), message);
}

/// What is cached; a lookup by the primary key adds nothing, because that one always is.
pub(super) fn caching(resolver: &Resolver<'_>, primary: &Key, written: Option<CacheAttr>) -> Caching {
    let Some(CacheAttr { lookups: written, ttl, jitter, negative, near, outage, name }) = written else {
        return Caching::Off;
    };
    let mut lookups: Vec<Key> = Vec::new();
    for LookupAttr { fields, span } in written {
        let part = |LookupField { name, form }: LookupField| {
            let index = resolver.key_or_field(&name, &primary.parts)?;
            Some(Part { index, span: name.span(), form })
        };
        let parts: Vec<Part> = fields.into_iter().filter_map(part).collect();
        let key = Key { parts: without_repeats(resolver, parts), span };
        if key.parts.is_empty() || key.same_order(primary) {
            refuse_form(resolver, &key);
            continue;
        }
        if let Some(other) = lookups.iter().chain([primary]).find(|other| other.same_fields(&key)) {
            listed_twice(resolver, other, &key);
        } else {
            lookups.push(key);
        }
    }
    Caching::On {
        ttl: ttl.unwrap_or(Ttl { millis: DEFAULT_TTL_MS, span: Span::call_site() }),
        jitter: jitter.unwrap_or(DEFAULT_JITTER),
        negative,
        near,
        name,
        outage: outage.unwrap_or(Outage::Proceed),
        lookups,
    }
}

/// The primary key names the row's entry, which statements touch by the key as it is stored.
fn refuse_form(resolver: &Resolver<'_>, key: &Key) {
    for part in key.parts.iter().filter(|part| part.form.is_some()) {
        let message = "the primary key is looked up as it is stored; remove the normal form";
        resolver.cx.error(part.span, message);
    }
}

/// The order of a lookup's fields is the order of the values in a call; the key is the same in every order.
fn listed_twice(resolver: &Resolver<'_>, first: &Key, second: &Key) {
    let name = |part: &Part| resolver.fields[part.index].name();
    let names = first.parts.iter().map(name).collect::<Vec<_>>().join(", ");
    let message = match first.parts.len() {
        1 => format!("the lookup `{names}` is listed twice; keep one"),
        _ => format!("the lookup `({names})` is there already, the order makes no other key; keep one"),
    };
    resolver.cx.error(second.span, message);
}

fn without_repeats(resolver: &Resolver<'_>, parts: Vec<Part>) -> Vec<Part> {
    let mut kept: Vec<Part> = Vec::new();
    for part in parts {
        if kept.iter().any(|other| other.index == part.index) {
            let name = resolver.fields[part.index].name();
            resolver.cx.error(part.span, format!("`{name}` is twice in one key; keep one"));
        } else {
            kept.push(part);
        }
    }
    kept
}
