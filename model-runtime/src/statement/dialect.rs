//! What statements need of a backend beyond Diesel's `Backend`.
use crate::schema::Catalog;
use diesel::backend::Backend;
use diesel::deserialize;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::row::Row;

/// Which errors of a statement may have ended the whole transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// None: the database keeps the transaction until it is told.
    Nothing,
    /// All but those of a constraint.
    OtherThanConstraints,
    /// Any.
    AnyError,
}

/// How a database is asked whether a transaction is open that can still be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenTransaction {
    /// It carries out this SQL only inside one; elsewhere it is an error that leaves nothing behind.
    Accepts(&'static str),
    /// It refuses this SQL inside one; elsewhere the SQL opens one.
    Refuses(&'static str),
}

/// A backend that the statements of this crate run on, and how its SQL differs from the common one.
///
/// Implemented for Diesel's own backends by the features `sqlite`, `postgres_backend` and `mysql_backend`.
/// Implement it for a backend of another crate: the constants' defaults are those of PostgreSQL and SQLite.
// Where clauses other than supertraits are not implied, so the crate's own binds are methods.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a database backend that models run on",
    note = "enable the feature `sqlite`, `postgres` or `mysql` of `model-runtime`, or implement `Dialect` for it"
)]
pub trait Dialect: Backend + 'static {
    /// Whether INSERT and UPDATE return rows. Without it, rows are read again in the same transaction.
    const RETURNING: bool = true;
    /// Whether a value is stored as it was bound, so that an UPDATE of values alone need not read it back.
    const STORES_AS_BOUND: bool = false;
    /// Whether the assignments of one UPDATE all read the old row. Without it the table is joined to itself
    /// where they read each other's columns.
    const OLD_ROW_IN_SET: bool = true;
    /// Whether a failed statement ends the transaction up to the innermost savepoint, and COMMIT then rolls back
    /// without saying so.
    const FAILURE_ENDS_TRANSACTION: bool = false;
    /// Which errors may have ended the whole transaction, whatever savepoints there are, so that the database is asked
    /// with [`IS_OPEN`](Self::IS_OPEN) after them.
    const ENDED_BY: EndedBy = EndedBy::Nothing;
    /// How the database is asked whether a transaction is open that can still be committed.
    const IS_OPEN: OpenTransaction = OpenTransaction::Accepts("SAVEPOINT model_runtime_probe");
    /// Whether a SELECT can lock the rows that it reads, with [`LOCKING`](Self::LOCKING). Without it a transaction that
    /// has written has the whole database for itself.
    const LOCKS_ROWS: bool = true;
    /// Makes an INSERT leave the table as it is where a unique key stands in the way, and nothing else; without it the
    /// statement runs in a savepoint and fails.
    const UNLESS_THERE: Option<&'static str> = Some(" ON CONFLICT DO NOTHING");
    /// Inserts a row of defaults.
    const DEFAULT_VALUES: &'static str = " DEFAULT VALUES";
    /// The key that the last INSERT of this connection was assigned; asked for without [`RETURNING`](Self::RETURNING).
    const LAST_INSERT_ID: &'static str = "LAST_INSERT_ID()";
    /// Makes [`LAST_INSERT_ID`](Self::LAST_INSERT_ID) none until an INSERT assigns one; asked for without
    /// [`RETURNING`](Self::RETURNING).
    const FORGET_INSERT_ID: &'static str = "";
    /// Locks the rows that a SELECT reads.
    const LOCKING: &'static str = " FOR UPDATE";
    /// The operator that divides integers and truncates towards zero.
    const INTEGER_DIVISION: &'static str = " / ";
    /// Whether a result beyond BIGINT is a fraction instead of an error, which `typeof` calls `real`.
    const GOES_ON_IN_FRACTIONS: bool = false;
    /// What stands around `a & b` and `a | b`, so that the result is a signed integer.
    const AROUND_BITS: (&'static str, &'static str) = ("(", ")");
    /// Whether times are stored to the nanosecond; without it to the microsecond.
    const KEEPS_NANOSECONDS: bool = false;

    /// How it is asked about its tables; without it [`verify_schema`](crate::SentryModel::verify_schema) is an error.
    const CATALOG: Option<&'static Catalog> = None;

    /// A table's name as SQL.
    ///
    /// # Errors
    /// What the query builder reports.
    fn table_name(write: fn(AstPass<'_, '_, Self>) -> QueryResult<()>) -> QueryResult<String>;

    /// A column's name as SQL.
    ///
    /// # Errors
    /// What the query builder reports.
    fn identifier(name: &str) -> QueryResult<String>;

    /// A part of a statement as SQL, without its values.
    ///
    /// # Errors
    /// What the query builder reports.
    fn sql_of(fragment: &dyn QueryFragment<Self>) -> QueryResult<String>;

    /// Binds a text that may be NULL.
    ///
    /// # Errors
    /// What `ToSql` reports.
    fn bind_text<'b>(value: &'b Option<String>, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()>;

    /// Reads a text that may be NULL.
    ///
    /// # Errors
    /// What `FromSql` reports.
    fn read_text<'r, R: Row<'r, Self>>(row: &R, index: usize) -> deserialize::Result<Option<String>>;

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

#[cfg(any(feature = "sqlite", feature = "postgres_backend", feature = "mysql_backend"))]
macro_rules! binds {
    () => {
        fn bind_i64<'b>(value: &'b i64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
            out.push_bind_param::<diesel::sql_types::BigInt, i64>(value)
        }

        fn bind_f64<'b>(value: &'b f64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
            out.push_bind_param::<diesel::sql_types::Double, f64>(value)
        }

        fn table_name(write: fn(AstPass<'_, '_, Self>) -> QueryResult<()>) -> QueryResult<String> {
            use diesel::query_builder::QueryBuilder;
            let mut out = <Self as Backend>::QueryBuilder::default();
            QueryFragment::<Self>::to_sql(&super::text::Named(write), &mut out, &Self)?;
            Ok(out.finish())
        }

        fn sql_of(fragment: &dyn QueryFragment<Self>) -> QueryResult<String> {
            use diesel::query_builder::QueryBuilder;
            let mut out = <Self as Backend>::QueryBuilder::default();
            fragment.to_sql(&mut out, &Self)?;
            Ok(out.finish())
        }

        fn identifier(name: &str) -> QueryResult<String> {
            use diesel::query_builder::QueryBuilder;
            let mut out = <Self as Backend>::QueryBuilder::default();
            out.push_identifier(name)?;
            Ok(out.finish())
        }

        fn bind_text<'b>(value: &'b Option<String>, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
            out.push_bind_param::<diesel::sql_types::Nullable<diesel::sql_types::Text>, Option<String>>(value)
        }

        fn read_text<'r, R: Row<'r, Self>>(row: &R, index: usize) -> deserialize::Result<Option<String>> {
            row.get_value::<diesel::sql_types::Nullable<diesel::sql_types::Text>, Option<String>, usize>(
                index,
            )
        }
    };
}

#[cfg(feature = "sqlite")]
impl Dialect for diesel::sqlite::Sqlite {
    // RETURNING keeps the rows in a table of its own, which costs as much as the update.
    const STORES_AS_BOUND: bool = true;
    // A conflict clause, a trigger's RAISE, a full disk and others roll back by themselves.
    const ENDED_BY: EndedBy = EndedBy::AnyError;
    const IS_OPEN: OpenTransaction = OpenTransaction::Refuses("BEGIN");
    const LOCKS_ROWS: bool = false;
    const LOCKING: &'static str = "";
    const GOES_ON_IN_FRACTIONS: bool = true;
    const KEEPS_NANOSECONDS: bool = true;
    const CATALOG: Option<&'static Catalog> = Some(&crate::schema::SQLITE);

    binds!();
}

#[cfg(feature = "postgres_backend")]
impl Dialect for diesel::pg::Pg {
    const FAILURE_ENDS_TRANSACTION: bool = true;
    const CATALOG: Option<&'static Catalog> = Some(&crate::schema::POSTGRES);

    binds!();
}

#[cfg(feature = "mysql_backend")]
impl Dialect for diesel::mysql::Mysql {
    const RETURNING: bool = false;
    const STORES_AS_BOUND: bool = true;
    const OLD_ROW_IN_SET: bool = false;
    // A deadlock, a snapshot that is too old, a lock time-out under `innodb_rollback_on_timeout`.
    const ENDED_BY: EndedBy = EndedBy::OtherThanConstraints;
    // Outside a transaction SAVEPOINT does nothing, and there is none to release.
    const IS_OPEN: OpenTransaction =
        OpenTransaction::Accepts("SAVEPOINT model_runtime_probe; RELEASE SAVEPOINT model_runtime_probe");
    const FORGET_INSERT_ID: &'static str = "DO LAST_INSERT_ID(0)";
    // `INSERT IGNORE` would also store what the row may not have.
    const UNLESS_THERE: Option<&'static str> = None;
    const DEFAULT_VALUES: &'static str = " () VALUES ()";
    // `/` of integers is a DECIMAL.
    const INTEGER_DIVISION: &'static str = " DIV ";
    // `&` and `|` are unsigned.
    const AROUND_BITS: (&'static str, &'static str) = ("CAST((", ") AS SIGNED)");
    const CATALOG: Option<&'static Catalog> = Some(&crate::schema::MYSQL);

    binds!();
}
