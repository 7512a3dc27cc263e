use super::Operation;
use crate::engine::{Executor, by_key_of};
use crate::error::{Error, Result};
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;

/// A SELECT of one loaded row, past the cache; made by [`Tracked::refresh`].
#[derive(Debug)]
pub struct Refresh<'p, M: SentryModel>(&'p mut Tracked<M>);

impl<'p, M: SentryModel> Refresh<'p, M> {
    pub(crate) fn new(row: &'p mut Tracked<M>) -> Self {
        Self(row)
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for Refresh<'_, M> {
    type Output = ();

    async fn run(self, db: &mut S) -> Result<()> {
        let base = self.0.baseline().ok_or(Error::Unsaved { model: M::NAME })?;
        let row = by_key_of(db, base).await?.ok_or_else(|| Error::DoesNotExist {
            model: M::NAME,
            lookup: format!("the row of {}; it was deleted since it was loaded", base.repr()),
        })?;
        self.0.refreshed(db.transaction().node(), row);
        Ok(())
    }
}
