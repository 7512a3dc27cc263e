use super::Operation;
use crate::cache::write;
use crate::engine::Executor;
use crate::error::Result;
use crate::field::KeyTexts;
use crate::model::ModelSql;
use std::marker::PhantomData;

/// The invalidation of entries; made by [`SentryModel::invalidate`](crate::SentryModel::invalidate).
#[derive(Debug)]
pub struct Invalidate<M, K: KeyTexts> {
    keys: Vec<K::Key>,
    model: PhantomData<fn() -> M>,
}

impl<M, K: KeyTexts> Invalidate<M, K> {
    pub(crate) fn new(keys: Vec<K::Key>) -> Self {
        Self { keys, model: PhantomData }
    }
}

impl<M, K, S> Operation<S> for Invalidate<M, K>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    type Output = ();

    async fn run(self, db: &mut S) -> Result<()> {
        let keys = self.keys.into_iter().filter(|key| !K::is_null(key)).map(K::stored::<S::Backend>);
        let entries = keys.map(|key| db.cache().key::<M>(&K::text(&key))).collect();
        write::invalidate::<M, S>(db, entries).await
    }
}
