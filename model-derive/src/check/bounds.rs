use crate::attr::integer;
use crate::ctxt::Ctxt;
use crate::ir::{Bounds, Max, Min, Model, Start};
use syn::spanned::Spanned;

/// A range without values would refuse every write. Ends outside the field's type are rustc's to find: it
/// knows the type.
pub(super) fn smallest_before_largest(cx: &Ctxt, model: &Model) {
    for Bounds { min, max, .. } in model.fields.iter().filter_map(|field| field.bounds.as_ref()) {
        let Max::At(max) = max else { continue };
        let Some(smallest) = min.known().filter(|min| *min > max.value) else { continue };
        let (span, remedy) = match min {
            Min::At(min) => (min.span, "lower `min` or raise `max`"),
            Min::Positive | Min::Auto | Min::OfType => (max.span, "raise `max`"),
        };
        cx.error(span, format!("no value lies in {smallest}..={}; {remedy}", max.value));
    }
}

/// A default outside the range would make every `create()` that leaves the field out fail at run time.
pub(super) fn defaults_in_range(cx: &Ctxt, model: &Model) {
    for field in &model.fields {
        let (Start::Value(expr), Some(bounds)) = (&field.start, &field.bounds) else { continue };
        let Some(value) = integer(expr) else { continue };
        let too_small = bounds.min.known().filter(|min| value < *min);
        let too_large = bounds.max.known().filter(|max| value > *max);
        let range = match (too_small, too_large) {
            (Some(min), _) => format!("below {min}, the smallest value"),
            (_, Some(max)) => format!("above {max}, the largest value"),
            (None, None) => continue,
        };
        cx.error(expr.span(), format!("the default is {range} of `#[bounded]`; change one of them"));
    }
}
