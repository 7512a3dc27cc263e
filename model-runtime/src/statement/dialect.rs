//! What statements need of a backend beyond Diesel's `Backend`.
use diesel::backend::Backend;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Double};

/// A backend that the statements of this crate run on: every one that stores `i64` and `f64`.
///
/// Implemented for all of them; nothing is hard-coded per database.
// Where clauses other than supertraits are not implied, so the crate's own binds are methods.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a database backend that models run on",
    note = "the backend must be able to bind `i64` as BIGINT and `f64` as DOUBLE"
)]
pub trait Dialect: Backend + 'static {
    /// Binds an integer literal as BIGINT.
    ///
    /// # Errors
    /// What `ToSql` reports.
    fn bind_i64<'b>(value: &'b i64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()>;

    /// Binds a literal as DOUBLE.
    ///
    /// # Errors
    /// What `ToSql` reports.
    fn bind_f64<'b>(value: &'b f64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()>;
}

impl<DB: Backend + 'static> Dialect for DB
where
    i64: ToSql<BigInt, DB>,
    f64: ToSql<Double, DB>,
{
    fn bind_i64<'b>(value: &'b i64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<BigInt, i64>(value)
    }

    fn bind_f64<'b>(value: &'b f64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<Double, f64>(value)
    }
}
