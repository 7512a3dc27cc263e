//! To and from every column that the inner type goes to and comes from.
use super::{NOT_LOADED, Uncached};
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql};
use diesel::expression::{
    AppearsOnTable, AsExpression, Expression, SelectableExpression, TypedExpressionType, ValidGrouping,
    is_aggregate,
};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{HasSqlType, SqlType};
use std::marker::PhantomData;

/// What the inner type reports may hold the value, so that none of it is passed on.
const UNREADABLE: &str = "the column holds what the field's type cannot read; its error is not shown, because it may hold \
    the value";
const UNWRITABLE: &str = "the field's type cannot write the value to the column; its error is not shown, because it may \
    hold the value";

impl<T, ST, DB> FromSql<ST, DB> for Uncached<T>
where
    DB: Backend,
    T: FromSql<ST, DB>,
{
    fn from_sql(stored: DB::RawValue<'_>) -> deserialize::Result<Self> {
        T::from_sql(stored).map(Self::from).map_err(|_| UNREADABLE.into())
    }

    fn from_nullable_sql(stored: Option<DB::RawValue<'_>>) -> deserialize::Result<Self> {
        T::from_nullable_sql(stored).map(Self::from).map_err(|_| UNREADABLE.into())
    }
}

impl<T, ST, DB> ToSql<ST, DB> for Uncached<T>
where
    DB: Backend,
    T: ToSql<ST, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        let value = self.get().ok_or(NOT_LOADED)?;
        value.to_sql(out).map_err(|_| UNWRITABLE.into())
    }
}

impl<T, ST> AsExpression<ST> for Uncached<T>
where
    ST: SqlType + TypedExpressionType,
{
    type Expression = UncachedExpression<Self, ST>;

    fn as_expression(self) -> Self::Expression {
        UncachedExpression(self, PhantomData)
    }
}

impl<'v, T, ST> AsExpression<ST> for &'v Uncached<T>
where
    ST: SqlType + TypedExpressionType,
{
    type Expression = UncachedExpression<&'v Uncached<T>, ST>;

    fn as_expression(self) -> Self::Expression {
        UncachedExpression(self, PhantomData)
    }
}

// For `#[derive(Insertable)]` on a struct that borrows the value.
impl<'v, T, ST> AsExpression<ST> for &&'v Uncached<T>
where
    ST: SqlType + TypedExpressionType,
{
    type Expression = UncachedExpression<&'v Uncached<T>, ST>;

    fn as_expression(self) -> Self::Expression {
        UncachedExpression(*self, PhantomData)
    }
}

/// An [`Uncached`], or a reference to one, as a parameter of a statement of plain Diesel.
// Diesel's own type of bound values is no part of its public interface.
#[derive(Debug, Clone, Copy)]
pub struct UncachedExpression<V, ST>(V, PhantomData<fn() -> ST>);

impl<V, ST: SqlType + TypedExpressionType> Expression for UncachedExpression<V, ST> {
    type SqlType = ST;
}

impl<V: ToSql<ST, DB>, ST, DB: Backend + HasSqlType<ST>> QueryFragment<DB> for UncachedExpression<V, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_bind_param::<ST, V>(&self.0)
    }
}

impl<V, ST> QueryId for UncachedExpression<V, ST> {
    type QueryId = ();
    // The statement is then told from others by its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<V, ST, G> ValidGrouping<G> for UncachedExpression<V, ST> {
    type IsAggregate = is_aggregate::Never;
}

impl<V, ST, S> SelectableExpression<S> for UncachedExpression<V, ST> where Self: Expression {}
impl<V, ST, S> AppearsOnTable<S> for UncachedExpression<V, ST> where Self: Expression {}
