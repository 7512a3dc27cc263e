use super::{HasPatch, Operation};
use crate::engine::{Executor, insert};
use crate::error::Result;
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;

/// An INSERT of one row; made by [`SentryModel::create`].
#[derive(Debug)]
pub struct Create<M: SentryModel> {
    patch: M::Patch,
}

impl<M: SentryModel> Create<M> {
    pub(crate) fn new() -> Self {
        Self { patch: M::Patch::default() }
    }

    pub(crate) fn into_patch(self) -> M::Patch {
        self.patch
    }
}

impl<M: SentryModel> HasPatch<M> for Create<M> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.patch
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for Create<M> {
    type Output = Tracked<M>;

    async fn run(self, db: &mut S) -> Result<Tracked<M>> {
        db.cache().admit::<M>()?;
        insert(db, self.patch).await
    }
}
