use super::Operation;
use crate::engine::{Executor, get_many};
use crate::error::Result;
use crate::field::{KeyCols, KeyTexts, LookupKind};
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;
use std::fmt;

/// A value that refers to a row by its primary key of type `V`: that type, or `Option` of it.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` does not refer to a primary key of type `{V}`",
    label = "expected `{V}` or `Option<{V}>`"
)]
pub trait ForeignKey<V> {
    /// The key; `None` for NULL.
    fn key(&self) -> Option<V>;
}

impl<V: Clone> ForeignKey<V> for V {
    fn key(&self) -> Option<V> {
        Some(self.clone())
    }
}

impl<V: Clone> ForeignKey<V> for Option<V> {
    fn key(&self) -> Option<V> {
        self.clone()
    }
}

/// Rows, each with the one that it refers to.
pub type Attached<R, M> = Vec<(Tracked<R>, Option<Tracked<M>>)>;

/// Rows, and the lookup of the rows that they refer to; made by [`SentryModel::attach`].
pub struct Attach<M: SentryModel, R> {
    rows: Vec<Tracked<R>>,
    keys: Vec<Option<<M::Pk as KeyCols>::Key>>,
}

impl<M: SentryModel, R> Attach<M, R> {
    pub(crate) fn new(
        rows: Vec<Tracked<R>>,
        key: impl Fn(&Tracked<R>) -> Option<<M::Pk as KeyCols>::Key>,
    ) -> Self {
        let keys = rows.iter().map(key).collect();
        Self { rows, keys }
    }
}

impl<M: SentryModel, R> fmt::Debug for Attach<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attach").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl<M, R, S> Operation<S> for Attach<M, R>
where
    M: ModelSql<S::Backend, Pk: KeyTexts>,
    R: SentryModel,
    S: Executor,
{
    type Output = Attached<R, M>;

    async fn run(self, db: &mut S) -> Result<Self::Output> {
        db.cache().admit::<M>()?;
        let wanted: Vec<_> = self.keys.iter().flatten().cloned().collect();
        let mut found = get_many::<M, M::Pk, S>(db, &wanted, LookupKind::PrimaryKey).await?.into_iter();
        let node = db.transaction().node();
        let parents = self.keys.into_iter().map(|key| key.and_then(|_| found.next().flatten()));
        Ok(self
            .rows
            .into_iter()
            .zip(parents.map(|parent| parent.map(|parent| Tracked::read(parent, node.clone()))))
            .collect())
    }
}
