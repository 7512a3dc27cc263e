//! Copies of rows in this process, for models with `near = "…"`.
//!
//! A copy is served until it is as old as the model allows, counted from before the store was asked for it, or until its
//! key is written: by this process, which counts the writes of each key itself, or by another, of whose writes the store
//! tells. A copy carries the count of its key from before the store was asked; once another count holds it is never
//! served again. So nothing need be removed, and no copy can be kept too late.
mod listener;

use super::codec::CacheSpec;
use super::handle::Cache;
use super::observe::Event;
use crate::model::SentryModel;
use listener::Heard;
use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keys share counts: a write of one ends the copies of those beside it, which is one lookup more for each.
const COUNTS: usize = 1 << 14;
/// Copies are kept in so many parts, each behind a lock of its own.
const PARTS: usize = 16;

/// The copies of one cache.
#[derive(Debug)]
pub(crate) struct Near {
    parts: Vec<Mutex<Copies>>,
    capacity: usize,
    /// How often keys of each part of the key space were written.
    counts: Vec<AtomicU64>,
    /// How often any key was written.
    writes: AtomicU64,
    /// How often every copy was given up.
    resets: AtomicU64,
    heard: Mutex<Heard>,
}

/// A model, and the text of a lookup.
type Place<'t> = (TypeId, Cow<'t, str>);
type Copies = HashMap<Place<'static>, Copy>;

#[derive(Debug)]
struct Copy {
    row: Arc<dyn Any + Send + Sync>,
    count: usize,
    stamp: u64,
    until: Instant,
}

/// What was true before the store was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    began: Instant,
    resets: u64,
    written: Written,
}

#[derive(Debug, Clone, Copy)]
enum Written {
    /// The key of the row was known: how often it was written.
    Key(u64),
    /// It was not: how often any was.
    Any(u64),
}

impl Near {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            capacity: capacity.div_ceil(PARTS),
            counts: (0..COUNTS).map(|_| AtomicU64::new(0)).collect(),
            writes: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            heard: Mutex::default(),
        }
    }

    /// The copy that answers this lookup.
    pub(crate) fn copy<M: Any + Send + Sync>(&self, text: &str) -> Option<Arc<M>> {
        let part = self.part(text);
        let copies: &HashMap<Place<'_>, Copy> = &part;
        let copy = copies.get(&(TypeId::of::<M>(), Cow::Borrowed(text)))?;
        if copy.until <= Instant::now() || copy.stamp != self.stamp(copy.count) {
            return None;
        }
        copy.row.clone().downcast().ok()
    }

    /// To be taken before the store is asked; with the key of the row, where the lookup knows it.
    pub(crate) fn before(&self, row_key: Option<&str>) -> Before {
        let written = match row_key {
            Some(key) => Written::Key(self.counts[count_of(key)].load(Ordering::SeqCst)),
            None => Written::Any(self.writes.load(Ordering::SeqCst)),
        };
        Before { began: Instant::now(), resets: self.resets.load(Ordering::SeqCst), written }
    }

    /// Keeps what the store answered, unless its key was written meanwhile.
    pub(crate) fn keep<M: Any + Send + Sync>(
        &self,
        text: &str,
        row: Arc<M>,
        row_key: &str,
        before: Before,
        age: Duration,
    ) {
        let count = count_of(row_key);
        let stamp = match before.written {
            Written::Key(written) => written.wrapping_add(before.resets),
            Written::Any(writes) => {
                let written = self.counts[count].load(Ordering::SeqCst);
                // Asked after the count was: a write that is not seen here raises the count yet.
                if self.writes.load(Ordering::SeqCst) != writes {
                    return;
                }
                written.wrapping_add(before.resets)
            }
        };
        let until = before.began + age;
        let mut part = self.part(text);
        let place = (TypeId::of::<M>(), Cow::Owned(text.to_owned()));
        if part.len() >= self.capacity && !part.contains_key(&place) {
            self.make_room(&mut part);
        }
        part.insert(place, Copy { row, count, stamp, until });
    }

    /// A key was written, by whomever.
    pub(crate) fn written(&self, key: &str) {
        // In this order: see `keep`.
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.counts[count_of(key)].fetch_add(1, Ordering::SeqCst);
    }

    /// No copy is to be trusted any more.
    pub(super) fn reset(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.resets.fetch_add(1, Ordering::SeqCst);
    }

    fn stamp(&self, count: usize) -> u64 {
        // Both only grow: their sum is the same where both are.
        let written = self.counts[count].load(Ordering::SeqCst);
        written.wrapping_add(self.resets.load(Ordering::SeqCst))
    }

    /// Removes what is of no use, and a quarter of the rest if that is not enough.
    fn make_room(&self, part: &mut Copies) {
        let now = Instant::now();
        part.retain(|_, copy| copy.until > now && copy.stamp == self.stamp(copy.count));
        let room = (self.capacity / 4).max(1);
        let mut surplus = (part.len() + room).saturating_sub(self.capacity);
        part.retain(|_, _| {
            let stays = surplus == 0;
            surplus = surplus.saturating_sub(1);
            stays
        });
    }

    fn part(&self, text: &str) -> MutexGuard<'_, Copies> {
        self.parts[number(text) % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys end with a digest.
fn count_of(key: &str) -> usize {
    number(key) % COUNTS
}

/// Of the last few bytes, which differ most.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let tail = &bytes[bytes.len().saturating_sub(8)..];
    tail.iter().fold(0, |number: usize, byte| number.wrapping_mul(31) ^ usize::from(*byte))
}

/// Lookups near their readers.
impl Cache {
    /// The copies, for a model that wants them, while its lookups use the cache.
    fn near<M: SentryModel>(&self, spec: &CacheSpec<M>) -> Option<&Arc<Near>> {
        let make = || Arc::new(Near::new(self.config().near_capacity));
        (spec.near_ms > 0 && self.rules(spec).reads).then(|| self.0.near.get_or_init(make))
    }

    /// The copy that answers a lookup.
    pub(crate) fn near_copy<M: SentryModel>(&self, spec: &CacheSpec<M>, text: &str) -> Option<M> {
        let row = self.near(spec)?.copy::<M>(text)?;
        self.counters().add_of(M::NAME, Event::NearHit, 1);
        Some(row.snapshot())
    }

    /// To be taken before the store is asked for rows that may be kept near; with the row's key, where the lookup knows it.
    pub(crate) fn before<M: SentryModel>(
        &self,
        spec: &CacheSpec<M>,
        row_key: Option<&str>,
    ) -> Option<Before> {
        Some(self.near(spec)?.before(row_key))
    }

    /// Keeps a row that the store answered.
    pub(crate) fn keep_near<M: SentryModel>(
        &self,
        spec: &CacheSpec<M>,
        text: &str,
        row: &M,
        before: Option<Before>,
    ) {
        let (Some(near), Some(before)) = (self.near(spec), before) else { return };
        if self.hears(near, &self.prefix_of::<M>()) {
            let key = self.key::<M>(&(spec.text_of)(row));
            near.keep(text, Arc::new(row.snapshot()), &key, before, Duration::from_millis(spec.near_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(3600);

    fn kept(near: &Near, text: &str, row: u32, before: Before) {
        near.keep(text, Arc::new(row), text, before, AGE);
    }

    #[test]
    fn a_copy_ends_with_a_write_of_its_key_and_no_later() {
        let near = Near::new(100);
        kept(&near, "id=1", 1, near.before(Some("id=1")));
        kept(&near, "id=2", 2, near.before(None));
        assert_eq!(
            (near.copy::<u32>("id=1").as_deref(), near.copy::<u32>("id=2").as_deref()),
            (Some(&1), Some(&2))
        );
        assert_eq!(near.copy::<i32>("id=1"), None, "of another model");
        near.written("id=1");
        assert_eq!((near.copy::<u32>("id=1"), near.copy::<u32>("id=2").as_deref()), (None, Some(&2)));
        near.reset();
        assert_eq!(near.copy::<u32>("id=2"), None);
    }

    #[test]
    fn what_was_read_before_a_write_is_not_served_after_it() {
        let near = Near::new(100);
        for row_key in [Some("id=1"), None] {
            let before = near.before(row_key);
            near.written("id=1");
            kept(&near, "id=1", 1, before);
            assert_eq!(near.copy::<u32>("id=1"), None, "{row_key:?}");
            let before = near.before(row_key);
            near.reset();
            kept(&near, "id=1", 1, before);
            assert_eq!(near.copy::<u32>("id=1"), None, "{row_key:?}");
        }
    }

    #[test]
    fn the_age_counts_from_before_the_store_was_asked() {
        let near = Near::new(100);
        let before = Before { began: Instant::now().checked_sub(AGE).unwrap(), ..near.before(None) };
        kept(&near, "id=1", 1, before);
        assert_eq!(near.copy::<u32>("id=1"), None);
    }

    #[test]
    fn there_are_no_more_copies_than_allowed() {
        let near = Near::new(64);
        for row in 0..1000 {
            let text = format!("id={row}");
            kept(&near, &text, row, near.before(Some(&text)));
            assert_eq!(near.copy::<u32>(&text).as_deref(), Some(&row), "the last one is there");
        }
        let count: usize = near.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert!(count <= 64, "{count}");
    }
}
