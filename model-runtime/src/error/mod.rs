//! The one error type, and which database errors it tells apart.
mod database;
mod field;
mod optional;

pub(crate) use database::Outcome;
pub(crate) use field::{name_bound_field, name_field};
pub use optional::OptionalRow;

use std::fmt;

/// Everything that can go wrong in this crate; each variant says when it happens and what to do.
///
/// Not found, out of bounds, wrong use, the cache and the database stay distinguishable, so that a
/// service can answer 404, 400, 500 and 503 from the variant alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No row matches the lookup. Turn it into `None` with
    /// [`optional`](OptionalRow::optional).
    #[error("no {model} matches {lookup}")]
    DoesNotExist {
        /// The model's name.
        model: &'static str,
        /// The lookup, such as `slug="pump"`.
        lookup: String,
    },
    /// `update` or `delete` was called on an instance that no row belongs to: it came from
    /// [`Tracked::new`](crate::Tracked::new), was deleted, or its insert was rolled back. Save it first.
    #[error("{model}: this instance was never saved; call `save` first")]
    Unsaved {
        /// The model's name.
        model: &'static str,
    },
    /// A value, or the result of an expression, lies outside the range of a field. Nothing was written.
    #[error("{0}")]
    OutOfBounds(Box<OutOfBounds>),
    /// An expression has no value: a column it reads is NULL or not given, it divides by zero, or it
    /// leaves the range of its type. Give the columns it reads, or assign a value.
    #[error("{model}.{field}: the expression `{expression}` cannot be resolved: {reason}")]
    CannotResolveExpression {
        /// The model's name.
        model: &'static str,
        /// The field assigned to, or `?` where the expression stands alone.
        field: &'static str,
        /// The expression as text.
        expression: String,
        /// What stood in the way.
        reason: String,
    },
    /// A statement hit more rows than its meaning allows, or an upsert neither updated nor created.
    /// The text names the lookup.
    #[error("{0}")]
    Query(String),
    /// A stored value cannot be decoded or a value cannot be encoded: a broken or oversized gzipped
    /// dict, a column of another type than its field, or an [`Uncached`](crate::Uncached) that is not loaded.
    #[error("{model}.{field}: {reason}")]
    InvalidValue {
        /// The model's name.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with the value, and what to do.
        reason: String,
    },
    /// The model's [`Hooks::before_write`](crate::Hooks::before_write) refused the write. Nothing was sent.
    #[error("{model}: a hook refused the write: {source}")]
    Refused {
        /// The model's name.
        model: &'static str,
        /// What the hook returned.
        source: crate::hooks::HookError,
    },
    /// The cache cannot be reached or was configured wrongly. Configuration and explicit cache calls return it, and
    /// writes of models with `outage = "refuse"`, before anything is committed. Reads fall back to the database, and a
    /// committed write never fails on it.
    #[error("cache: {0}")]
    Cache(String),
    /// The database gave the transaction up because of another one: a deadlock, or a serialization failure.
    /// Nothing of it was written; run the whole transaction again.
    #[error(transparent)]
    Deadlock(diesel::result::Error),
    /// A call on this connection was dropped or panicked before the database had answered, so that it is not known what the
    /// connection would answer next, or which transaction is open on it. Nothing was sent. Take another connection; pools
    /// discard this one.
    #[error(
        "the connection is broken: a call on it was dropped or panicked before the database had answered; \
         take another connection"
    )]
    BrokenConnection,
    /// A row, or SQLite's file, stayed locked by another transaction for longer than the database waits. The
    /// statement wrote nothing; run it again, or raise the time-out.
    #[error(transparent)]
    LockTimeout(diesel::result::Error),
    /// The database refused the statement; the text is its own.
    #[error(transparent)]
    Database(diesel::result::Error),
}

/// The details of [`Error::OutOfBounds`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutOfBounds {
    /// The model's name.
    pub model: &'static str,
    /// The field's name.
    pub field: &'static str,
    /// The value; `None` where it was computed by the database.
    pub value: Option<i128>,
    /// The smallest value the field takes.
    pub min: i128,
    /// The largest value the field takes.
    pub max: i128,
}

impl OutOfBounds {
    pub(crate) fn error(
        model: &'static str,
        field: &'static str,
        value: Option<i128>,
        range: (i128, i128),
    ) -> Error {
        Error::OutOfBounds(Box::new(Self { model, field, value, min: range.0, max: range.1 }))
    }
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, field, value, min, max } = self;
        match value {
            Some(value) => write!(f, "{model}.{field}: {value} is outside {min}..={max}"),
            None => write!(f, "{model}.{field}: the result of the expression is outside {min}..={max}"),
        }
    }
}

impl From<diesel::result::Error> for Error {
    /// Diesel's error as ours; what this crate's own field types reported keeps its kind.
    fn from(error: diesel::result::Error) -> Self {
        database::classify(error)
    }
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
