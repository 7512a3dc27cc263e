//! The names of attributes and keys, and what is said about the others.
use crate::ctxt::Ctxt;
use crate::names::{list, nearest};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident};

/// The name of an attribute: `bounded` of `#[bounded(auto)]`.
pub(super) fn name_of(attr: &Attribute) -> String {
    attr.path().get_ident().map(Ident::to_string).unwrap_or_default()
}

/// Reports an attribute of the struct on a field, or the other way round.
pub(super) fn misplaced(cx: &Ctxt, attr: &Attribute, place: &str) {
    cx.error(attr.path().span(), format!("`#[{}]` belongs on {place}; move it there", name_of(attr)));
}

/// The error about a key that `#[attribute(…)]` does not have.
pub(super) fn unknown(key: &Ident, attribute: &str, known: &[&str]) -> Error {
    let remedy = match nearest(&key.to_string(), known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.len() == 1 => format!("its only key is {}", list(known)),
        None => format!("its keys are {}", list(known)),
    };
    Error::new(key.span(), format!("`#[{attribute}]` has no key `{key}`; {remedy}"))
}

/// The error about a key that `#[cache_fields]` does not have.
pub(super) fn unknown_cache_key(key: &Ident) -> Error {
    let known = ["ttl", "jitter", "negative", "near", "outage", "name", "phase", "negative_phase"];
    unknown(key, "cache_fields", &known)
}
