use super::Operation;
use crate::engine::{Executor, described, get, get_many};
use crate::error::{Error, Result};
use crate::field::{KeyCols, KeyTexts, LookupKind};
use crate::model::ModelSql;
use crate::tracked::Tracked;
use std::marker::PhantomData;
use tracing::Instrument;

/// A cached lookup of one row; made by [`get_from_cache`](crate::SentryModel::get_from_cache).
#[derive(Debug)]
pub struct Get<M, K: KeyCols> {
    key: K::Key,
    kind: LookupKind,
    fresh: bool,
    model: PhantomData<fn() -> M>,
}

impl<M, K: KeyCols> Get<M, K> {
    pub(crate) fn new(key: K::Key, kind: LookupKind) -> Self {
        Self { key, kind, fresh: false, model: PhantomData }
    }

    pub(crate) fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }
}

impl<M, K, S> Operation<S> for Get<M, K>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    type Output = Tracked<M>;

    async fn run(self, db: &mut S) -> Result<Tracked<M>> {
        db.cache().admit::<M>()?;
        let key = K::stored::<S::Backend>(self.key);
        let text = K::text(&key);
        let span = tracing::debug_span!("get_from_cache", model = M::NAME, outcome = tracing::field::Empty);
        let row = get::<M, K, S>(db, &key, &text, self.kind, self.fresh).instrument(span).await?;
        let node = db.transaction().node();
        row.map(|row| Tracked::read(row, node))
            .ok_or_else(|| Error::DoesNotExist { model: M::NAME, lookup: described::<K>(&key) })
    }
}

/// Cached lookups of many rows; made by [`get_many_from_cache`](crate::SentryModel::get_many_from_cache).
#[derive(Debug)]
pub struct GetMany<M, K: KeyCols> {
    keys: Vec<K::Key>,
    kind: LookupKind,
    model: PhantomData<fn() -> M>,
}

impl<M, K: KeyCols> GetMany<M, K> {
    pub(crate) fn new(keys: Vec<K::Key>, kind: LookupKind) -> Self {
        Self { keys, kind, model: PhantomData }
    }
}

impl<M, K, S> Operation<S> for GetMany<M, K>
where
    M: ModelSql<S::Backend>,
    K: KeyTexts<Model = M>,
    S: Executor,
{
    type Output = Vec<Option<Tracked<M>>>;

    async fn run(self, db: &mut S) -> Result<Self::Output> {
        db.cache().admit::<M>()?;
        let span = tracing::debug_span!("get_many_from_cache", model = M::NAME, keys = self.keys.len());
        let keys: Vec<_> = self.keys.into_iter().map(K::stored::<S::Backend>).collect();
        let rows = get_many::<M, K, S>(db, &keys, self.kind).instrument(span).await?;
        let node = db.transaction().node();
        Ok(rows.into_iter().map(|row| row.map(|row| Tracked::read(row, node.clone()))).collect())
    }
}
