//! What narrows the lookup of an upsert, and what widens it.
use super::{HasDefaults, HasOnInsert, HasPatch, Operation};
use crate::engine::Executor;
use crate::error::Result;
use crate::model::SentryModel;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use std::fmt;

/// A lookup by fields, which `.matching(predicate)` narrows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes no `matching`",
    label = "`matching` narrows the lookup of `create_or_update()` and of `get_or_create()`, once",
    note = "join several conditions with `.and(…)`; the rows of a predicate alone are written by `update_where(…)`"
)]
pub trait HasMatching {}

/// An upsert, which `.all_matches()` lets update several rows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `all_matches`",
    label = "`all_matches` lets `create_or_update()` update several rows",
    note = "`update_where(…)` updates every row that matches by itself; `get_or_create()` is for one row"
)]
pub trait HasAllMatches {
    /// Lets it update every row that matches.
    fn set_all_matches(&mut self);
}

/// An operation that a session of type `S` can run on the rows that meet a predicate as well.
pub trait RunMatching<S: Executor>: Operation<S> + HasMatching {
    /// Runs it.
    fn run_matching<P>(
        self,
        db: &mut S,
        predicate: Option<&P>,
    ) -> impl Future<Output = Result<Self::Output>> + Send
    where
        P: QueryFragment<S::Backend> + Sync;
}

/// An operation whose rows must meet a predicate beside its lookup; made by `matching` of a model's builder.
pub struct Matching<Op, P> {
    operation: Op,
    predicate: P,
}

/// A lookup by fields alone: no value of it exists.
pub(crate) enum NoPredicate {}

impl<DB: Backend> QueryFragment<DB> for NoPredicate {
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        match *self {}
    }
}

impl<Op, P> Matching<Op, P> {
    /// The same operation, for the rows alone that meet the predicate.
    pub fn new(operation: Op, predicate: P) -> Self {
        Self { operation, predicate }
    }
}

impl<Op, P> fmt::Debug for Matching<Op, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matching").finish_non_exhaustive()
    }
}

impl<M: SentryModel, Op: HasPatch<M>, P> HasPatch<M> for Matching<Op, P> {
    fn patch(&mut self) -> &mut M::Patch {
        self.operation.patch()
    }
}

impl<M: SentryModel, Op: HasDefaults<M>, P> HasDefaults<M> for Matching<Op, P> {
    fn set_defaults(&mut self, defaults: M::Patch) {
        self.operation.set_defaults(defaults);
    }
}

impl<M: SentryModel, Op: HasOnInsert<M>, P> HasOnInsert<M> for Matching<Op, P> {
    fn set_on_insert(&mut self, values: M::Patch) {
        self.operation.set_on_insert(values);
    }
}

impl<Op: HasAllMatches, P> HasAllMatches for Matching<Op, P> {
    fn set_all_matches(&mut self) {
        self.operation.set_all_matches();
    }
}

impl<S, Op, P> Operation<S> for Matching<Op, P>
where
    S: Executor,
    Op: RunMatching<S>,
    P: QueryFragment<S::Backend> + Send + Sync,
{
    type Output = Op::Output;

    async fn run(self, db: &mut S) -> Result<Self::Output> {
        self.operation.run_matching(db, Some(&self.predicate)).await
    }
}
