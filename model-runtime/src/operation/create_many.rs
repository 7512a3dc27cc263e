use super::{Create, Operation};
use crate::engine::{Executor, create_many};
use crate::error::Result;
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;

/// An INSERT of many rows; made by [`SentryModel::create_many`].
#[derive(Debug)]
pub struct CreateMany<M: SentryModel> {
    patches: Vec<M::Patch>,
}

impl<M: SentryModel> CreateMany<M> {
    pub(crate) fn new(rows: impl Iterator<Item = Create<M>>) -> Self {
        Self { patches: rows.map(Create::into_patch).collect() }
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for CreateMany<M> {
    type Output = Vec<Tracked<M>>;

    async fn run(self, db: &mut S) -> Result<Vec<Tracked<M>>> {
        db.cache().admit::<M>()?;
        create_many(db, self.patches).await
    }
}
