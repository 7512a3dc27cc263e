use super::Operation;
use crate::engine::{Executor, Wanted, before_write, insert, update};
use crate::error::{Error, Result};
use crate::hooks::Write;
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;

/// An UPDATE of the changed fields, or the INSERT of an unsaved instance; made by [`Tracked::save`].
#[derive(Debug)]
pub struct Save<'p, M: SentryModel>(&'p mut Tracked<M>);

impl<'p, M: SentryModel> Save<'p, M> {
    pub(crate) fn new(row: &'p mut Tracked<M>) -> Self {
        Self(row)
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for Save<'_, M> {
    type Output = ();

    async fn run(self, db: &mut S) -> Result<()> {
        self.0.settle();
        let Some(base) = self.0.baseline() else {
            let row = self.0.row();
            // Timestamps of an unsaved instance are the clock's, as Django's `pre_save` has it.
            let given = !(row.vacant() | M::AUTO_NOW | M::AUTO_NOW_ADD);
            let stored = insert::<M, S>(db, row.patch(given)).await?;
            self.0.replaced(db.transaction().node(), stored.into_inner(), u64::MAX);
            return Ok(());
        };
        let changed = self.0.row().dirty(base);
        if changed == 0 {
            return Ok(());
        }
        let mut patch = self.0.row().patch(changed);
        before_write::<M>(&mut patch, Write::Update)?;
        M::auto_now(&mut patch, db.now());
        let updated =
            update(db, &patch, Vec::new(), base, Wanted::Row).await?.ok_or_else(|| Error::DoesNotExist {
                model: M::NAME,
                lookup: format!("the row of {}; it was deleted since it was loaded", base.repr()),
            })?;
        self.0.replaced(db.transaction().node(), updated.row, updated.assigned);
        Ok(())
    }
}
