use super::{HasPatch, HasSql, Operation, RunWithSql};
use crate::engine::{Executor, delete_where, update_where};
use crate::error::Result;
use crate::model::{ModelSql, SentryModel};
use crate::session::Runner;
use crate::statement::SqlSet;
use diesel::query_builder::QueryFragment;
use std::fmt;
use std::marker::PhantomData;

/// An UPDATE of all rows that match; made by [`SentryModel::update_where`].
pub struct UpdateWhere<M: SentryModel, P> {
    predicate: P,
    patch: M::Patch,
}

impl<M: SentryModel, P> UpdateWhere<M, P> {
    pub(crate) fn new(predicate: P) -> Self {
        Self { predicate, patch: M::Patch::default() }
    }
}

impl<M: SentryModel, P> fmt::Debug for UpdateWhere<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateWhere").finish_non_exhaustive()
    }
}

impl<M: SentryModel, P> HasPatch<M> for UpdateWhere<M, P> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.patch
    }
}

impl<M, P, S> Operation<S> for UpdateWhere<M, P>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Send + Sync,
    S: Executor,
{
    type Output = usize;

    async fn run(self, db: &mut S) -> Result<usize> {
        self.run_with(db, Vec::new()).await
    }
}

impl<M: SentryModel, P> HasSql for UpdateWhere<M, P> {
    type Model = M;
}

impl<M, P, S> RunWithSql<S> for UpdateWhere<M, P>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Send + Sync,
    S: Executor,
{
    type Output = usize;

    async fn run_with(self, db: &mut S, sets: Vec<SqlSet<'_, S::Backend>>) -> Result<usize> {
        db.cache().admit::<M>()?;
        update_where::<M, P, S>(db, &self.predicate, self.patch, sets).await
    }
}

/// A DELETE of all rows that match; made by [`SentryModel::delete_where`].
#[must_use = "nothing happens until `.execute(&mut db)`"]
pub struct DeleteWhere<M, P> {
    predicate: P,
    model: PhantomData<fn() -> M>,
}

impl<M, P> DeleteWhere<M, P> {
    pub(crate) fn new(predicate: P) -> Self {
        Self { predicate, model: PhantomData }
    }

    /// Deletes the rows and returns how many there were.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    // Inherent: diesel-async's `RunQueryDsl::execute` is there for every type, and would compete with a trait's.
    pub fn execute<'d, S: Runner>(self, db: &'d mut S) -> S::Out<'d, usize>
    where
        Self: Operation<S, Output = usize> + 'd,
    {
        db.drive(self)
    }
}

impl<M, P> fmt::Debug for DeleteWhere<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteWhere").finish_non_exhaustive()
    }
}

impl<M, P, S> Operation<S> for DeleteWhere<M, P>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Send + Sync,
    S: Executor,
{
    type Output = usize;

    async fn run(self, db: &mut S) -> Result<usize> {
        db.cache().admit::<M>()?;
        delete_where::<M, P, S>(db, &self.predicate).await
    }
}
