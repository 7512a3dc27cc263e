//! Meanings that are not allowed: one function per rule, under the reason for it.
//!
//! What depends on types is not here: rustc checks it, where the expansion puts a trait on a token.
mod bounds;
mod cache;
mod fields;

use crate::ctxt::Ctxt;
use crate::ir::Model;

/// Runs every rule.
pub(crate) fn check(cx: &Ctxt, model: &Model) {
    fields::number_of_fields(cx, model);
    fields::one_filler_per_field(cx, model);
    bounds::smallest_before_largest(cx, model);
    bounds::defaults_in_range(cx, model);
    cache::width_of_keys(cx, model);
    cache::time_to_live(cx, model);
    cache::phase_of_absence(cx, model);
}
