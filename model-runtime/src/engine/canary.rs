//! The canary: sampled hits are compared with the database, at once and again later.
use super::Executor;
use super::read::Lookup;
use crate::cache::canary::{Check, LATER};
use crate::cache::codec::CacheSpec;
use crate::cache::deletions;
use crate::cache::observe::Event;
use crate::cache::read::Sought;
use crate::error::Result;
use crate::field::{KeyTexts, LookupKind};
use crate::model::{ModelSql, SentryModel};
use std::sync::Arc;
use std::time::Instant;

/// How often the database must disagree with an entry that still stands. A row that another session writes at this very
/// moment disagrees once, and its entry is gone by then.
const LOOKS: u32 = 3;

impl<M: SentryModel, K: KeyTexts<Model = M>> Lookup<'_, M, K> {
    /// Compares a hit with the database where it is sampled, and one of those that are due.
    pub(super) async fn watch<S: Executor>(&self, db: &mut S, row: &M)
    where
        M: ModelSql<S::Backend>,
    {
        let rate = db.cache().config().canary;
        if rate <= 0.0 {
            return;
        }
        if fastrand::f64() < rate {
            if self.kind == LookupKind::PrimaryKey {
                let key: Arc<K::Key> = Arc::new(self.key.clone());
                let check = |after| Check { due: Instant::now() + after, model: M::NAME, key: key.clone() };
                db.cache().canary().schedule(LATER.map(check));
            }
            // What the database says of it is the canary's business alone.
            let _ = self.compare(db, row).await;
        }
        let due = db.cache().canary().due(M::NAME, Instant::now());
        if let Some(key) = due.as_ref().and_then(|key| key.downcast_ref::<K::Key>()) {
            let text = K::text(key);
            let entry = db.cache().key::<M>(&text);
            let (spec, kind) = (self.spec, LookupKind::PrimaryKey);
            let lookup = Lookup::<M, K> { spec, key, text: &text, entry, kind };
            if let Sought::Hit(row) | Sought::Due(row, _) = lookup.look(db).await {
                let _ = lookup.compare(db, &row).await;
            }
        }
    }

    async fn compare<S: Executor>(&self, db: &mut S, row: &M) -> Result<()>
    where
        M: ModelSql<S::Backend>,
    {
        db.cache().counters().add_of(M::NAME, Event::CanaryCheck, 1);
        let cached = bytes(self.spec, row);
        for _ in 0..LOOKS {
            let stored = self.load_past_the_cache(db).await?;
            if stored.as_ref().and_then(|row| bytes(self.spec, row)) == cached {
                return Ok(());
            }
            match self.look(db).await {
                Sought::Hit(row) | Sought::Due(row, _) if bytes(self.spec, &row) == cached => {}
                _ => return Ok(()),
            }
        }
        db.cache().counters().add_of(M::NAME, Event::CanaryStale, 1);
        let key = db.cache().key::<M>(&(self.spec.text_of)(row));
        tracing::error!(model = M::NAME, key, "the canary found a stale row: did another program write it?");
        let _ = db.store(&deletions(&[key])).await;
        Ok(())
    }
}

fn bytes<M: SentryModel>(spec: &CacheSpec<M>, row: &M) -> Option<Vec<u8>> {
    spec.encoded(row).ok()
}
