use crate::ctxt::Ctxt;
use crate::ir::{Caching, MAX_KEY, Model};

/// The runtime implements its key traits for tuples of this many columns.
pub(super) fn width_of_keys(cx: &Ctxt, model: &Model) {
    let lookups: &[_] = match &model.caching {
        Caching::Off => &[],
        Caching::On { lookups, .. } => lookups,
    };
    for key in lookups.iter().chain([&model.key]) {
        if let Some(part) = key.parts.get(MAX_KEY) {
            cx.error(part.span, format!("a key has at most {MAX_KEY} columns; remove some"));
        }
    }
}

/// An entry that expires at once would cost two round trips on every read and never be a hit.
pub(super) fn time_to_live(cx: &Ctxt, model: &Model) {
    let Caching::On { ttl, negative, near, .. } = &model.caching else { return };
    if ttl.millis == 0 {
        cx.error(
            ttl.span,
            "`ttl` is zero, so no lookup would ever be a hit; give it some time, or remove `#[cache_fields]`",
        );
    }
    if let Some(negative) = negative
        && negative.millis == 0
    {
        cx.error(negative.span, "`negative` is zero; give it some time, or leave it out");
    }
    match near {
        Some(near) if near.millis == 0 => {
            cx.error(near.span, "`near` is zero; give it some time, or leave it out");
        }
        Some(near) if near.millis > ttl.millis => {
            cx.error(near.span, "a copy outlives the entry it was made of; make `near` no longer than `ttl`");
        }
        _ => {}
    }
}
