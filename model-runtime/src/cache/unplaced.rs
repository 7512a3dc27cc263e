//! The keys of writes under way whose intents the store did not take.
//!
//! Such a write goes on where its model says so. The store may answer again before it commits: then this process would be
//! served the old row from the commit to the release. Until the write ends, lookups of these keys ask the database.
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By how many writes each key is held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unplaced(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keys: Mutex<HashMap<String, usize>>,
    /// How many keys there are, so that a hit need not lock.
    count: AtomicUsize,
}

/// Holds the keys of one write until it is dropped.
#[derive(Debug)]
pub(crate) struct Barred {
    unplaced: Unplaced,
    keys: Arc<[String]>,
}

impl Unplaced {
    /// Lookups of these keys ask the database until the result is dropped.
    pub(crate) fn bar(&self, keys: &Arc<[String]>) -> Barred {
        let mut held = self.lock();
        for key in &**keys {
            *held.entry(key.clone()).or_default() += 1;
        }
        self.0.count.store(held.len(), Ordering::Release);
        Barred { unplaced: self.clone(), keys: keys.clone() }
    }

    /// Whether a write of this key is under way whose intent the store did not take.
    #[inline]
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.count.load(Ordering::Acquire) > 0 && self.lock().contains_key(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Barred {
    fn drop(&mut self) {
        let mut held = self.unplaced.lock();
        for key in &*self.keys {
            if let Some(writes) = held.get_mut(key) {
                *writes -= 1;
                if *writes == 0 {
                    held.remove(key);
                }
            }
        }
        self.unplaced.0.count.store(held.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_until_the_last_write_of_it_ends() {
        let unplaced = Unplaced::default();
        let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Arc<[String]>>();
        let (one, two) = (unplaced.bar(&keys(&["a", "b"])), unplaced.bar(&keys(&["b"])));
        assert!(unplaced.has("a") && unplaced.has("b") && !unplaced.has("c"));
        drop(one);
        assert!(!unplaced.has("a") && unplaced.has("b"));
        drop(two);
        assert!(!unplaced.has("b") && unplaced.lock().is_empty());
    }
}
