use super::{HasPatch, Operation};
use crate::engine::Executor;
use crate::error::Result;
use crate::field::FieldOf;
use crate::model::SentryModel;
use crate::statement::SqlSet;
use diesel::expression::{AppearsOnTable, AsExpression, Expression, TypedExpressionType};
use diesel::query_builder::QueryFragment;
use diesel::sql_types::SqlType;
use std::fmt;
use std::marker::PhantomData;

/// A Diesel expression over the model's table that the column `C` takes, such as `lower(projects::name)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to the column `{C}` of `{M}`",
    label = "expected a Diesel expression of the column's SQL type, over the model's own table"
)]
pub trait SqlFor<M, C: FieldOf<M>> {
    /// The expression.
    type Sql;

    /// As an expression of the column's SQL type.
    fn into_sql(self) -> Self::Sql;
}

// What it needs is said above, in words.
#[diagnostic::do_not_recommend]
impl<M, C, E> SqlFor<M, C> for E
where
    M: SentryModel,
    C: FieldOf<M>,
    <C as Expression>::SqlType: SqlType + TypedExpressionType,
    E: AsExpression<<C as Expression>::SqlType, Expression: AppearsOnTable<M::Table>>,
{
    type Sql = E::Expression;

    fn into_sql(self) -> E::Expression {
        self.as_expression()
    }
}

/// An UPDATE, which writes expressions of plain Diesel as well.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes no SQL of plain Diesel",
    label = "`set_sql` is for `update()` and `update_where(…)`"
)]
pub trait HasSql {
    /// The model.
    type Model: SentryModel;
}

/// An UPDATE that a session of type `S` can run with expressions of plain Diesel.
pub trait RunWithSql<S: Executor>: HasSql + Send + Sized {
    /// What it returns.
    type Output: Send;

    /// Runs it; the columns of `sets` win over those of its setters.
    fn run_with(
        self,
        db: &mut S,
        sets: Vec<SqlSet<'_, S::Backend>>,
    ) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// An UPDATE with an expression of plain Diesel; made by `set_sql` of a model's builder.
pub struct SetSql<Op, C, E> {
    update: Op,
    expression: E,
    column: PhantomData<fn() -> C>,
}

impl<Op, C, E> SetSql<Op, C, E> {
    /// The same UPDATE with one more expression.
    pub fn new(update: Op, expression: E) -> Self {
        Self { update, expression, column: PhantomData }
    }
}

impl<Op, C, E> fmt::Debug for SetSql<Op, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetSql").finish_non_exhaustive()
    }
}

impl<M: SentryModel, Op: HasPatch<M>, C, E> HasPatch<M> for SetSql<Op, C, E> {
    fn patch(&mut self) -> &mut M::Patch {
        self.update.patch()
    }
}

impl<Op: HasSql, C, E> HasSql for SetSql<Op, C, E> {
    type Model = Op::Model;
}

impl<S, Op, C, E> RunWithSql<S> for SetSql<Op, C, E>
where
    S: Executor,
    Op: RunWithSql<S>,
    C: FieldOf<Op::Model>,
    E: QueryFragment<S::Backend> + Send + Sync,
{
    type Output = Op::Output;

    async fn run_with(self, db: &mut S, mut sets: Vec<SqlSet<'_, S::Backend>>) -> Result<Op::Output> {
        // The expression written last wins, and is the first to get here.
        if sets.iter().all(|set| set.index() != C::INDEX) {
            sets.push(SqlSet::of::<Op::Model, C>(&self.expression));
        }
        self.update.run_with(db, sets).await
    }
}

impl<S, Op, C, E> Operation<S> for SetSql<Op, C, E>
where
    S: Executor,
    Self: RunWithSql<S>,
{
    type Output = <Self as RunWithSql<S>>::Output;

    async fn run(self, db: &mut S) -> Result<Self::Output> {
        self.run_with(db, Vec::new()).await
    }
}
