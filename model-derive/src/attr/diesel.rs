//! Diesel's own attribute, read as Diesel reads it and never re-invented.
use super::items::{items, skip};
use super::keys::name_of;
use crate::ctxt::Ctxt;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Ident, Result};

/// Whether a key concerned the reader.
pub(super) enum Key {
    Read,
    Other,
}

/// Hands `read` every key of `#[diesel(…)]`; the rest of those that do not concern it is skipped.
///
/// Typos in them are reported by Diesel's derives, which know all keys.
pub(super) fn keys(cx: &Ctxt, attr: &Attribute, mut read: impl FnMut(&Ident, ParseStream) -> Result<Key>) {
    debug_assert_eq!(name_of(attr), "diesel");
    items(cx, attr, "#[diesel(table_name = projects)]", |input| {
        let key = input.call(Ident::parse_any)?;
        match read(&key, input)? {
            Key::Read => Ok(()),
            Key::Other => skip(input),
        }
    });
}
