use crate::ctxt::Ctxt;
use crate::ir::{Caching, MAX_KEY, Model, Phase};

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

/// Intents on the keys of new rows are there with `negative` or not at all: a phase in which they are not would be the
/// hole that the write-only phase closes.
pub(super) fn phase_of_absence(cx: &Ctxt, model: &Model) {
    let Caching::On { negative, negative_phase: Some(stage), .. } = &model.caching else { return };
    if negative.is_none() {
        cx.error(
            stage.span,
            "there is no `negative` whose phase it is; add `negative = \"30s\"`, or leave it out",
        );
    } else if stage.phase == Phase::Off {
        let message =
            "`negative` is \"on\" or \"write-only\"; to turn it off, leave out `negative` and its phase";
        cx.error(stage.span, message);
    }
}
