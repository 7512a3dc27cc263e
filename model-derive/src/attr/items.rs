//! The comma-separated items of an attribute's parentheses.
use crate::ctxt::Ctxt;
use proc_macro2::TokenTree;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Meta, Result, Token};

/// Hands `read` the items of `attr` one after the other; one with a mistake is reported and skipped.
///
/// `form` shows the right form where there are no parentheses.
pub(super) fn items(
    cx: &Ctxt,
    attr: &Attribute,
    form: &str,
    mut read: impl FnMut(ParseStream) -> Result<()>,
) {
    let Meta::List(list) = &attr.meta else {
        cx.error(attr.meta.span(), format!("parentheses are missing; write `{form}`"));
        return;
    };
    let walk = |input: ParseStream| {
        while !input.is_empty() {
            let item = read(input).and_then(|()| end_of_item(input));
            if let Err(error) = item {
                cx.syn_error(error);
                skip(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    if let Err(error) = list.parse_args_with(walk) {
        cx.syn_error(error);
    }
}

/// Goes on to the next comma at this level.
pub(super) fn skip(input: ParseStream) -> Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

fn end_of_item(input: ParseStream) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(input.error("nothing is expected here; put a comma between items"))
}
