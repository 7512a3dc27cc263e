//! Which items can be a model at all.
use crate::ctxt::Ctxt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, FieldsNamed};

/// The fields of a plain row struct.
///
/// A model stands for the rows of one table: its fields are the columns, so they need names, and there is
/// one type per column, so there is nothing to be generic over.
pub(super) fn fields<'i>(cx: &Ctxt, input: &'i DeriveInput) -> Option<&'i FieldsNamed> {
    let Data::Struct(data) = &input.data else {
        let kind = if matches!(input.data, Data::Enum(_)) { "an enum" } else { "a union" };
        cx.error(
            input.ident.span(),
            format!("{kind} is not a row; derive `SentryModel` on a struct with named fields"),
        );
        return None;
    };
    let Fields::Named(named) = &data.fields else {
        let message =
            "the fields of a model are columns and need names; write `struct Project { id: i32, … }`";
        cx.error(input.ident.span(), message);
        return None;
    };
    if !input.generics.params.is_empty() {
        let message = "a model is the row of one table and cannot be generic; give its fields concrete types";
        cx.error(input.generics.span(), message);
        return None;
    }
    if named.named.is_empty() {
        cx.error(input.ident.span(), "a model needs a field for its primary key; add `id: i32`");
        return None;
    }
    Some(named)
}
