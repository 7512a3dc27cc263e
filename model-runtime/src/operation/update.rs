use super::{HasPatch, HasSql, Operation, RunWithSql};
use crate::engine::{Executor, Wanted, before_write, update};
use crate::error::{Error, Result};
use crate::hooks::Write;
use crate::model::{ModelSql, SentryModel};
use crate::statement::SqlSet;
use crate::tracked::Tracked;

/// An UPDATE of one loaded row; made by [`Tracked::update`].
#[derive(Debug)]
pub struct Update<'p, M: SentryModel> {
    row: &'p mut Tracked<M>,
    patch: M::Patch,
}

impl<'p, M: SentryModel> Update<'p, M> {
    pub(crate) fn new(row: &'p mut Tracked<M>) -> Self {
        Self { row, patch: M::Patch::default() }
    }
}

impl<M: SentryModel> HasPatch<M> for Update<'_, M> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.patch
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for Update<'_, M> {
    type Output = bool;

    async fn run(self, db: &mut S) -> Result<bool> {
        self.run_with(db, Vec::new()).await
    }
}

impl<M: SentryModel> HasSql for Update<'_, M> {
    type Model = M;
}

impl<M: ModelSql<S::Backend>, S: Executor> RunWithSql<S> for Update<'_, M> {
    type Output = bool;

    async fn run_with(mut self, db: &mut S, sets: Vec<SqlSet<'_, S::Backend>>) -> Result<bool> {
        self.row.settle();
        let base = self.row.baseline().ok_or(Error::Unsaved { model: M::NAME })?;
        before_write::<M>(&mut self.patch, Write::Update)?;
        M::auto_now(&mut self.patch, db.now());
        let Some(updated) = update(db, &self.patch, sets, base, Wanted::Assigned).await? else {
            return Ok(false);
        };
        self.row.wrote(db.transaction().node(), updated);
        Ok(true)
    }
}
