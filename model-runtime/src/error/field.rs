//! What went wrong with one field's value on its way to or from the database.
use super::Error;
use diesel::result::Error as DieselError;
use std::error::Error as StdError;

/// A value that a field's type refused; travels inside Diesel's error and comes out as
/// [`Error::InvalidValue`].
#[derive(Debug, thiserror::Error)]
#[error("{model}.{field}: {reason}")]
struct InvalidValue {
    model: &'static str,
    field: &'static str,
    reason: String,
}

/// Adds the model and the field to what a field's type reported.
pub(crate) fn name_field(
    model: &'static str,
    field: &'static str,
    error: &(dyn StdError + 'static),
) -> Box<dyn StdError + Send + Sync> {
    Box::new(InvalidValue { model, field, reason: innermost(error) })
}

/// The same for an error of a bind.
pub(crate) fn name_bound_field(model: &'static str, field: &'static str, error: DieselError) -> DieselError {
    match error {
        DieselError::SerializationError(error) => {
            DieselError::SerializationError(name_field(model, field, &*error))
        }
        other => other,
    }
}

/// The error as ours, where it carries a field.
pub(super) fn named(error: &(dyn StdError + Send + Sync + 'static)) -> Option<Error> {
    let InvalidValue { model, field, reason } = error.downcast_ref()?;
    Some(Error::InvalidValue { model, field, reason: reason.clone() })
}

// Diesel wraps what `FromSql` reports and hides its text; the source has it.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
