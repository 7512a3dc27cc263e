//! What differs between two states of a row.
use crate::field::FieldOf;
use crate::model::SentryModel;
use std::fmt;

/// The fields that differ between two states of a row, with the values of both; from
/// [`Tracked::changes`](crate::Tracked::changes) and [`Tracked::saved_changes`](crate::Tracked::saved_changes).
///
/// # Example: an audit line
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
/// use model_runtime::prelude::*;
///
/// # fn main() -> Result<(), Error> { session(|db| {
/// let mut project = Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
/// project.name = "Pump station".into();
/// project.events = 3;
/// let changes = project.changes();
/// assert_eq!(changes.fields().collect::<Vec<_>>(), ["name", "events"]);
/// assert_eq!(changes.of(projects::events), Some((&0, &3)));
/// assert_eq!(changes.of(projects::slug), None);
/// # Ok(()) }) }
/// ```
pub struct Changes<'c, M> {
    /// Both states, and the fields that differ; `None` where there is nothing to compare.
    states: Option<(&'c M, &'c M, u64)>,
}

impl<'c, M: SentryModel> Changes<'c, M> {
    pub(crate) fn none() -> Self {
        Self { states: None }
    }

    /// The fields of `mask`, which differ.
    pub(crate) fn between(old: &'c M, new: &'c M, mask: u64) -> Self {
        Self { states: Some((old, new, mask)) }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mask() == 0
    }

    /// The names of the fields that differ, in the order of the struct.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        let mask = self.mask();
        M::FIELDS.iter().enumerate().filter(move |(i, _)| mask >> i & 1 == 1).map(|(_, field)| *field)
    }

    /// The old and the new value of a field that differs.
    pub fn of<C: FieldOf<M>>(&self, _column: C) -> Option<(&'c C::Value, &'c C::Value)> {
        let (old, new, mask) = self.states?;
        (mask >> C::INDEX & 1 == 1).then(|| (C::get(old), C::get(new)))
    }

    fn mask(&self) -> u64 {
        self.states.map_or(0, |(_, _, mask)| mask)
    }
}

impl<M: SentryModel> fmt::Debug for Changes<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields()).finish()
    }
}
