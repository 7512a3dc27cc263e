use super::Operation;
use crate::engine::{Executor, delete, know};
use crate::error::{Error, Result};
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;

/// A DELETE of one loaded row; made by [`Tracked::delete`].
#[derive(Debug)]
pub struct Delete<'p, M: SentryModel>(&'p mut Tracked<M>);

impl<'p, M: SentryModel> Delete<'p, M> {
    pub(crate) fn new(row: &'p mut Tracked<M>) -> Self {
        Self(row)
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for Delete<'_, M> {
    type Output = bool;

    async fn run(self, db: &mut S) -> Result<bool> {
        db.cache().admit::<M>()?;
        know(db, self.0).await?;
        let base = self.0.baseline().ok_or(Error::Unsaved { model: M::NAME })?;
        let deleted = delete(db, base).await?;
        self.0.removed(db.transaction().node());
        Ok(deleted)
    }
}
