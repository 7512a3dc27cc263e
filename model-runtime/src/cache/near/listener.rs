//! Hearing of the writes of others: where several processes share a store, copies are kept only while it tells.
use super::Near;
use crate::cache::handle::{Cache, WeakCache};
use crate::store::{Ear, Store};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long after a lost connection the store is asked again to tell of writes.
const RETRY: Duration = Duration::from_millis(500);

/// The models of which the store tells, by what their keys begin with.
#[derive(Debug, Default)]
pub(super) struct Heard {
    wanted: HashSet<String>,
    asked: HashSet<String>,
    told: HashSet<String>,
    listens: bool,
}

impl Cache {
    /// Whether copies of rows whose keys begin with `prefix` may be kept: where others write to the store, it must tell of
    /// them first. The first question starts the thread that listens.
    pub(super) fn hears(&self, near: &Near, prefix: &str) -> bool {
        if !self.0.store.is_shared() {
            return true;
        }
        let mut heard = near.heard();
        if heard.told.contains(prefix) {
            return true;
        }
        heard.wanted.insert(prefix.to_owned());
        if !heard.listens {
            let cache = self.downgrade();
            let spawned = std::thread::Builder::new().name("model-near".into()).spawn(move || listen(&cache));
            match spawned {
                Ok(_) => heard.listens = true,
                Err(error) => tracing::warn!(%error, "nothing is kept near: no thread could be started"),
            }
        }
        false
    }
}

fn listen(cache: &WeakCache) {
    let mut is_new = true;
    while let Some(store) = cache.upgrade().map(|cache| cache.0.store.clone()) {
        let ended = Store::listen(&*store, &mut Listener { cache });
        let Some(near) = cache.upgrade().and_then(|cache| cache.0.near.get().cloned()) else { return };
        let mut heard = near.heard();
        heard.asked.clear();
        let heard_before = !std::mem::take(&mut heard.told).is_empty();
        drop(heard);
        near.reset();
        // Not with each attempt of a long outage.
        if let Err(error) = ended
            && (is_new || heard_before)
        {
            tracing::warn!(%error, "the store does not tell of writes: nothing is kept near until it does");
        }
        is_new = false;
        drop((store, near));
        std::thread::sleep(RETRY);
    }
}

/// Hears of writes as long as the cache is there.
struct Listener<'c> {
    cache: &'c WeakCache,
}

impl Listener<'_> {
    fn near(&self) -> Option<Arc<Near>> {
        self.cache.upgrade()?.0.near.get().cloned()
    }
}

impl Ear for Listener<'_> {
    fn wanted(&mut self) -> Option<Vec<String>> {
        let near = self.near()?;
        let mut heard = near.heard();
        let new: Vec<_> = heard.wanted.difference(&heard.asked).cloned().collect();
        heard.asked.extend(new.iter().cloned());
        Some(new)
    }

    fn listening(&mut self) {
        let Some(near) = self.near() else { return };
        let mut heard = near.heard();
        let asked = heard.asked.clone();
        heard.told.extend(asked);
        // What was asked of the store before must not be kept now.
        near.reset();
    }

    fn written(&mut self, key: &str) {
        if let Some(near) = self.near() {
            near.written(key);
        }
    }

    fn anything_written(&mut self) {
        if let Some(near) = self.near() {
            near.reset();
        }
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_the_store_told_of_writes_is_not_served() {
        let cache = Cache::memory();
        let near = cache.0.near.get_or_init(|| Arc::new(Near::new(100))).clone();
        near.heard().wanted.insert("modelcache:Host:".into());
        let before = near.before(None);
        let weak = cache.downgrade();
        let mut ear = Listener { cache: &weak };
        assert_eq!(ear.wanted(), Some(vec!["modelcache:Host:".to_owned()]));
        assert_eq!(ear.wanted(), Some(Vec::new()), "nothing new");
        ear.listening();
        assert!(near.heard().told.contains("modelcache:Host:"));
        near.keep("id=1", Arc::new(1_u32), "id=1", before, Duration::from_secs(3600));
        assert_eq!(near.copy::<u32>("id=1"), None);
        drop((cache, near));
        assert_eq!(ear.wanted(), None, "nobody is there any more");
    }
}
