//! A field's value on its way to and from a backend.
use crate::statement::Dialect;
use diesel::Column;
use diesel::deserialize::{self, FromSql};
use diesel::expression::Expression;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::row::Row;
use diesel::serialize::ToSql;
use diesel::sql_types::HasSqlType;

/// A value that the column `C` stores on the backend `DB`.
///
/// Generated code asks for this one bound per field instead of `ToSql`, `FromSql` and `HasSqlType`.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot be stored in the column `{C}` on this backend",
    note = "`{Self}` needs `ToSql<SqlType, DB>` and `FromSql<SqlType, DB>` for the column's SQL type"
)]
pub trait Storable<C, DB: Dialect>: Sized + Send + Sync + 'static {
    /// Binds the value with the column's SQL type.
    ///
    /// # Errors
    /// What `ToSql` reports.
    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>;

    /// Reads the value at `index` of `row`.
    ///
    /// # Errors
    /// What `FromSql` reports.
    fn read<'r, R: Row<'r, DB>>(row: &R, index: usize) -> deserialize::Result<Self>;
}

// What it needs is said above, in words.
#[diagnostic::do_not_recommend]
impl<T, C, DB> Storable<C, DB> for T
where
    C: Column,
    DB: Dialect + HasSqlType<<C as Expression>::SqlType>,
    T: ToSql<<C as Expression>::SqlType, DB>
        + FromSql<<C as Expression>::SqlType, DB>
        + Send
        + Sync
        + 'static,
{
    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()> {
        #[cfg(feature = "time")]
        refuse_no_date_in_utc(self)?;
        out.push_bind_param::<<C as Expression>::SqlType, T>(self)
    }

    fn read<'r, R: Row<'r, DB>>(row: &R, index: usize) -> deserialize::Result<Self> {
        row.get_value::<<C as Expression>::SqlType, T, usize>(index)
    }
}

/// Diesel binds times in UTC, and would panic where the date in UTC is none that the crate time has.
#[cfg(feature = "time")]
fn refuse_no_date_in_utc(value: &dyn std::any::Any) -> QueryResult<()> {
    use time::{OffsetDateTime, UtcOffset};
    let optional = || value.downcast_ref::<Option<OffsetDateTime>>().and_then(Option::as_ref);
    match value.downcast_ref::<OffsetDateTime>().or_else(optional) {
        Some(at) if at.checked_to_offset(UtcOffset::UTC).is_none() => {
            let reason = format!("{at} is in UTC beyond the years -9999 to 9999; use a time within them");
            Err(diesel::result::Error::SerializationError(reason.into()))
        }
        _ => Ok(()),
    }
}
