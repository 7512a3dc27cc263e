//! What a column is to its model: its Rust value, its bounds, what a setter takes, how it is bound.
mod assign;
mod bounded;
mod gzipped_dict;
mod key;
pub(crate) mod normal;
pub(crate) mod null;
mod number;
mod storable;
mod timestamp;
pub(crate) mod uncached;
mod unsigned;

pub use assign::{AsExpression, AsValue, Assign, BoundedInput, Input, ToField};
pub use bounded::BoundedInteger;
pub use gzipped_dict::GzippedDict;
pub use key::{CacheKey, Col, KeyCols, KeyFor, KeyPart, KeyTexts, LookupKind, PartValue};
pub use normal::{Normal, NormalText, Normalize};
pub use storable::Storable;
pub use timestamp::Timestamp;
pub use uncached::{Uncached, UncachedExpression};
pub use unsigned::{OutOfRange, PositiveBigInteger, PositiveInteger, WrappingU32};

pub use number::Number;
pub(crate) use number::{from_integer, from_number, integer_range, to_number};

use crate::model::SentryModel;
use diesel::Column;

/// A column that is a field of the model `M`; implemented once per field by the derive.
// `Self` is the column, so that rustc puts its caret on the argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a field of the model `{M}`",
    label = "not a column of `{M}`'s table",
    note = "field handles are the columns of the model's own table, such as `projects::name`"
)]
pub trait FieldOf<M>: Column + Send + 'static {
    /// The field's type.
    type Value: Clone + PartialEq + Send + Sync + 'static;
    /// The field's name in Rust.
    const FIELD: &'static str;
    /// The field's place in the struct; at most 63.
    const INDEX: usize;
    /// The range of `#[bounded]`, smallest and largest value.
    const BOUNDS: Option<(i128, i128)> = None;

    /// The field's value in `row`.
    fn get(row: &M) -> &Self::Value;

    /// Whether the value is NULL: `field = NULL` matches nothing, so that a lookup asks `field IS NULL`.
    #[doc(hidden)]
    fn is_null(value: &Self::Value) -> bool;

    /// The field's place in a patch.
    #[doc(hidden)]
    fn slot(patch: &mut M::Patch) -> &mut Option<Assign<M, Self>>
    where
        M: SentryModel,
        Self: Sized;

    /// What an expression starts from where there is no row yet: `#[default(…)]`, else zero for
    /// numbers, else nothing.
    #[must_use]
    fn start() -> Option<Self::Value> {
        from_number(Number::Integer(0))
    }
}

/// The range that values and results of expressions must lie in: `#[bounded]`'s, else that of the
/// integer type; `None` for fields that are not integers.
///
/// Unbounded integers have their type's range checked as well, because SQLite stores what does not fit
/// the type, and Diesel would read back another number.
pub(crate) fn range_of<M, C: FieldOf<M>>() -> Option<(i128, i128)> {
    C::BOUNDS.or_else(integer_range::<C::Value>)
}
