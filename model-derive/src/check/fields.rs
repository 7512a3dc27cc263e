use crate::ctxt::Ctxt;
use crate::ir::{MAX_FIELDS, Model, Start};
use syn::spanned::Spanned;

/// The fields that changed, that are assigned, that belong to a key: each such set is a mask of 64 bits.
pub(super) fn number_of_fields(cx: &Ctxt, model: &Model) {
    if let Some(field) = model.fields.get(MAX_FIELDS) {
        let message = format!(
            "a model has at most {MAX_FIELDS} fields, this one has {}; split the struct, a second model can read \
             the other columns of the table",
            model.fields.len()
        );
        cx.error(field.ident.span(), message);
    }
}

/// A field that is not given takes one value: the clock's, the database's or the default's. With two of them
/// one attribute would never do anything, and the user would wait for it to.
pub(super) fn one_filler_per_field(cx: &Ctxt, model: &Model) {
    for field in &model.fields {
        let start = match &field.start {
            Start::Database => continue,
            Start::Text(text) => text.span(),
            Start::Value(expr) => expr.span(),
        };
        let assigned = field.is_assigned_by_database().then_some("#[bounded(auto)]");
        if let Some(other) = field.clock.attribute().or(assigned) {
            cx.error(start, format!("`{other}` sets this field on create; remove `#[default]`"));
        }
    }
}
