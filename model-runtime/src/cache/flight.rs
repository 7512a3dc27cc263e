//! One lookup for many readers: who misses the same key at the same time, shares one database read.
//!
//! A reader joins only a round that begins after it arrived, so each key has two: the one that runs, and the next. What a
//! round hands out was asked of the store or the database after its last reader had come. Rounds are led by one of their
//! readers. A leader that panics or is cancelled leaves the round to another.
use super::handle::Cache;
use event_listener::{Event, EventListener};
use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The rounds of every key that is being looked up.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<String, Lane>>);

#[derive(Debug)]
struct Lane {
    phase: Phase,
    now: Arc<Round>,
    /// Of those who came after `now` had begun to read.
    next: Option<Arc<Round>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not begun: its readers wait for a leader, which one of them becomes.
    Vacant,
    /// Its leader asks the store or the database: who comes now, waits for the next round.
    Flying,
}

#[derive(Debug, Default)]
struct Round {
    changed: Event,
    end: OnceLock<End>,
    /// How many readers wait; guarded by the lock of [`Flights`].
    readers: Mutex<usize>,
}

/// What a round came to.
#[derive(Debug, Clone)]
enum End {
    Row(Shared),
    /// The read failed: everyone asks for himself.
    Failed,
}

/// A row as one round shares it: an `Option<M>`.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// A reader's place in a round.
#[derive(Debug)]
pub(crate) enum Seat {
    /// This reader asks the database, for all of the round.
    Lead(Lead),
    /// Another does.
    Follow(Follow),
}

/// What a reader that waited is told.
#[derive(Debug)]
pub(crate) enum Landing {
    Row(Shared),
    Lead(Lead),
    /// Ask the database yourself.
    Alone,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a seat in a lookup of `key`.
pub(crate) fn join(cache: &Cache, key: &str) -> Seat {
    let mut lanes = cache.flights().lock();
    let lane = match lanes.entry(key.to_owned()) {
        Entry::Vacant(place) => {
            let now = Arc::<Round>::default();
            place.insert(Lane { phase: Phase::Flying, now: now.clone(), next: None });
            return Seat::Lead(Lead::new(cache, key, now));
        }
        Entry::Occupied(place) => place.into_mut(),
    };
    if lane.phase == Phase::Vacant {
        lane.phase = Phase::Flying;
        return Seat::Lead(Lead::new(cache, key, lane.now.clone()));
    }
    let round = lane.next.get_or_insert_default();
    round.count(|readers| readers + 1);
    Seat::Follow(Follow { cache: cache.clone(), key: key.to_owned(), round: round.clone() })
}

impl Round {
    fn count(&self, change: impl FnOnce(usize) -> usize) -> usize {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        *readers = change(*readers);
        *readers
    }

    fn readers(&self) -> usize {
        self.count(|readers| readers)
    }
}

/// Leads a round. Dropped without an end, it leaves the round to one of its readers.
#[derive(Debug)]
pub(crate) struct Lead {
    cache: Cache,
    key: String,
    round: Arc<Round>,
}

impl Lead {
    fn new(cache: &Cache, key: &str, round: Arc<Round>) -> Self {
        Self { cache: cache.clone(), key: key.to_owned(), round }
    }

    /// Hands the row to the others; `row` is asked for only where there are any.
    pub(crate) fn land(self, row: impl FnOnce() -> Shared) {
        if self.round.readers() > 0 {
            let _ = self.round.end.set(End::Row(row()));
        }
    }

    /// The read failed.
    pub(crate) fn fail(self) {
        let _ = self.round.end.set(End::Failed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut lanes = self.cache.flights().lock();
        let lane = lanes.get_mut(&self.key).filter(|lane| Arc::ptr_eq(&lane.now, &self.round));
        let Some(lane) = lane else {
            // It was overtaken; who waits for it may have an answer all the same.
            self.round.changed.notify(usize::MAX);
            return;
        };
        if self.round.end.get().is_none() && self.round.readers() > 0 {
            lane.phase = Phase::Vacant;
            self.round.changed.notify(1);
            return;
        }
        self.round.changed.notify(usize::MAX);
        promote(&mut lanes, &self.key);
    }
}

/// The round that ran is over: the next one needs a leader, or the key is done.
fn promote(lanes: &mut HashMap<String, Lane>, key: &str) {
    let Some(lane) = lanes.get_mut(key) else { return };
    match lane.next.take().filter(|next| next.readers() > 0) {
        None => {
            lanes.remove(key);
        }
        Some(next) => {
            next.changed.notify(1);
            (lane.now, lane.phase) = (next, Phase::Vacant);
        }
    }
}

/// Waits for a round.
#[derive(Debug)]
pub(crate) struct Follow {
    cache: Cache,
    key: String,
    round: Arc<Round>,
}

impl Follow {
    /// Notified when [`landing`](Self::landing) may have changed; to be made before asking it.
    pub(crate) fn listen(&self) -> EventListener {
        self.round.changed.listen()
    }

    /// What became of the round; `None` while it goes on.
    pub(crate) fn landing(&self) -> Option<Landing> {
        let mut lanes = self.cache.flights().lock();
        match self.round.end.get() {
            Some(End::Row(row)) => return Some(Landing::Row(row.clone())),
            Some(End::Failed) => return Some(Landing::Alone),
            None => {}
        }
        let lane = lanes.get_mut(&self.key).filter(|lane| Arc::ptr_eq(&lane.now, &self.round))?;
        if lane.phase != Phase::Vacant {
            return None;
        }
        lane.phase = Phase::Flying;
        Some(Landing::Lead(Lead::new(&self.cache, &self.key, self.round.clone())))
    }

    /// The round before has taken too long: this one begins without its end. Who waits for that one goes alone.
    pub(crate) fn overtake(&self) -> Landing {
        let mut lanes = self.cache.flights().lock();
        let next = lanes.get(&self.key).and_then(|lane| lane.next.as_ref());
        if next.is_some_and(|next| Arc::ptr_eq(next, &self.round)) {
            promote(&mut lanes, &self.key);
        }
        drop(lanes);
        self.landing().unwrap_or(Landing::Alone)
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let mut lanes = self.cache.flights().lock();
        let left = self.round.count(|readers| readers - 1);
        let Some(lane) = lanes.get_mut(&self.key) else { return };
        if !Arc::ptr_eq(&lane.now, &self.round) || lane.phase != Phase::Vacant {
            return;
        }
        // Nobody leads it: the next reader may, or nobody is left.
        match left {
            0 => promote(&mut lanes, &self.key),
            _ => {
                self.round.changed.notify(1);
            }
        }
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;
    use event_listener::Listener;

    fn lead(cache: &Cache) -> Lead {
        let Seat::Lead(lead) = join(cache, "k") else { unreachable!("another leads") };
        lead
    }

    fn follow(cache: &Cache) -> Follow {
        let Seat::Follow(follow) = join(cache, "k") else { unreachable!("nobody leads") };
        follow
    }

    fn number(landing: Option<Landing>) -> Option<u32> {
        match landing? {
            Landing::Row(row) => row.downcast_ref().copied(),
            Landing::Lead(_) | Landing::Alone => None,
        }
    }

    fn done(cache: &Cache) -> bool {
        cache.flights().lock().is_empty()
    }

    #[test]
    fn who_comes_while_a_round_runs_shares_the_next_one() {
        let cache = Cache::memory();
        let first = lead(&cache);
        let (one, two) = (follow(&cache), follow(&cache));
        assert!(one.landing().is_none() && two.landing().is_none());
        first.land(|| Arc::new(1_u32));
        let Some(Landing::Lead(second)) = one.landing() else { unreachable!("nobody leads the next round") };
        let late = follow(&cache);
        assert!(two.landing().is_none());
        second.land(|| Arc::new(2_u32));
        assert_eq!(number(two.landing()), Some(2), "it came before the second round began");
        assert!(matches!(late.landing(), Some(Landing::Lead(_))), "it came after");
        drop((one, two, late));
        assert!(done(&cache));
    }

    #[test]
    fn a_leader_that_is_gone_leaves_the_round_to_another() {
        let cache = Cache::memory();
        let first = lead(&cache);
        let (one, two) = (follow(&cache), follow(&cache));
        drop(first);
        let Some(Landing::Lead(second)) = one.landing() else { unreachable!("nobody leads") };
        assert!(two.landing().is_none());
        let listener = two.listen();
        drop(second);
        assert!(listener.wait_timeout(std::time::Duration::from_secs(20)).is_some(), "nobody is told");
        assert!(matches!(two.landing(), Some(Landing::Lead(_))));
        drop((one, two));
        assert!(done(&cache));
    }

    #[test]
    fn a_leader_that_stands_still_is_overtaken() {
        let cache = Cache::memory();
        let still = lead(&cache);
        let (one, two) = (follow(&cache), follow(&cache));
        let Landing::Lead(second) = one.overtake() else { unreachable!("nobody leads") };
        assert!(two.landing().is_none());
        assert!(matches!(two.overtake(), Landing::Alone), "its own round is the one that runs");
        let late = follow(&cache);
        still.land(|| Arc::new(1_u32));
        assert!(two.landing().is_none() && late.landing().is_none(), "nobody waited for that");
        second.land(|| Arc::new(2_u32));
        assert_eq!(number(two.landing()), Some(2));
        assert!(matches!(late.landing(), Some(Landing::Lead(_))));
        drop((one, two, late));
        assert!(done(&cache));
    }

    #[test]
    fn after_a_failed_read_everyone_asks_for_himself() {
        let cache = Cache::memory();
        let first = lead(&cache);
        let (one, two) = (follow(&cache), follow(&cache));
        drop(first);
        let Some(Landing::Lead(second)) = one.landing() else { unreachable!("nobody leads") };
        second.fail();
        assert!(matches!(two.landing(), Some(Landing::Alone)));
        drop((one, two));
        assert!(done(&cache));
    }

    #[test]
    fn readers_that_give_up_leave_nothing_behind() {
        let cache = Cache::memory();
        let first = lead(&cache);
        drop(follow(&cache));
        drop(first);
        assert!(done(&cache));
        let first = lead(&cache);
        let late = follow(&cache);
        first.land(|| Arc::new(1_u32));
        drop(late);
        assert!(done(&cache));
    }
}
