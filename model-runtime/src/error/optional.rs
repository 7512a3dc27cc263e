use super::Error;

/// Turns "no such row" into `None`.
// Diesel's `OptionalExtension` is on results with Diesel's error only, so both `optional` coexist.
pub trait OptionalRow<T> {
    /// `Ok(None)` where no row matched.
    ///
    /// # Errors
    /// Every other error.
    ///
    /// # Example: a lookup that may find nothing
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// let project = Project::get_from_cache(db, projects::slug, "nope").optional()?;
    /// assert!(project.is_none());
    /// # Ok(()) }) }
    /// ```
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> OptionalRow<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::DoesNotExist { .. } | Error::Database(diesel::result::Error::NotFound)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
