//! The half of a model that depends on the backend, and what Diesel's predicates over it are.
use super::SentryModel;
use crate::error::Result;
use crate::field::KeyCols;
use crate::statement::{Assignments, Dialect};
use diesel::deserialize;
use diesel::expression::AppearsOnTable;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::row::Row;
use diesel::sql_types::BoolOrNullableBool;

/// A Diesel predicate over the model's table, such as `projects::events.gt(0).and(projects::slug.ne("pump"))`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a predicate over the table of `{M}`",
    label = "expected a condition on the model's own columns, such as `projects::events.gt(0)`"
)]
pub trait Predicate<M> {}

#[diagnostic::do_not_recommend]
impl<M: SentryModel, P: AppearsOnTable<M::Table, SqlType: BoolOrNullableBool>> Predicate<M> for P {}

/// The half of a model that depends on the backend: the only generated impl with a where clause, one
/// bound per field.
#[diagnostic::on_unimplemented(
    message = "the model `{Self}` cannot be stored on the backend `{DB}`",
    note = "every field's type must be storable on it"
)]
pub trait ModelSql<DB: Dialect>: SentryModel {
    #[doc(hidden)]
    fn table(out: AstPass<'_, '_, DB>) -> QueryResult<()>;
    #[doc(hidden)]
    fn visit<'b>(patch: &'b Self::Patch, out: &mut Assignments<'b, DB>) -> Result<()>;
    #[doc(hidden)]
    fn pk<'b>(&'b self, out: &mut Assignments<'b, DB>);
    /// Reads the columns of the primary key, in its order.
    #[doc(hidden)]
    fn read_key<'r, R: Row<'r, DB>>(row: &R) -> deserialize::Result<<Self::Pk as KeyCols>::Key>;
    /// Reads the columns of [`SentryModel::COLUMNS`].
    #[doc(hidden)]
    fn read<'r, R: Row<'r, DB>>(row: &R) -> deserialize::Result<Self>;
}
