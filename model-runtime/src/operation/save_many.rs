use super::{Operation, Save};
use crate::engine::{Executor, Unit};
use crate::error::Result;
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;
use std::fmt;

/// [`save`](Tracked::save) of many rows, all or none; made by [`SentryModel::save_many`].
pub struct SaveMany<'p, M: SentryModel>(Vec<&'p mut Tracked<M>>);

impl<'p, M: SentryModel> SaveMany<'p, M> {
    pub(crate) fn new(rows: Vec<&'p mut Tracked<M>>) -> Self {
        Self(rows)
    }
}

impl<M: SentryModel> fmt::Debug for SaveMany<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveMany").field("rows", &self.0.len()).finish_non_exhaustive()
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for SaveMany<'_, M> {
    type Output = usize;

    async fn run(self, db: &mut S) -> Result<usize> {
        let dirty: Vec<_> = self.0.into_iter().filter(|row| row.needs_save()).collect();
        if dirty.is_empty() {
            return Ok(0);
        }
        // A savepoint inside a transaction: the rows that were written before one that fails are taken back.
        let unit = Unit::begin(db).await?;
        let done = save_all(db, dirty).await;
        unit.end(db, done).await
    }
}

async fn save_all<M, S>(db: &mut S, rows: Vec<&mut Tracked<M>>) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let count = rows.len();
    for row in rows {
        Save::new(row).run(db).await?;
    }
    Ok(count)
}
