//! The cache's background thread: intents of long commits are placed again, what the store is owed is sent, and who
//! has waited long enough is woken.
use super::entry::Token;
use super::handle::{Cache, WeakCache};
use super::unplaced::Barred;
#[cfg(feature = "async")]
use event_listener::{Event, EventListener};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "async")]
use std::sync::Weak;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After so many looks at nothing the thread sleeps until there is something.
const IDLE_LOOKS: u32 = 16;
/// How many keys are remembered whose outcome nobody learned; the oldest are forgotten first.
const MAX_LATE: usize = 65_536;
/// How often it tries to tell the store what it is owed.
const RETRY: Duration = Duration::from_millis(50);

/// What the thread looks after.
#[derive(Debug, Clone)]
pub(crate) struct Keeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// A third of the lifetime of intents.
    period: Duration,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Token, Held>,
    /// Intents that are released once they have expired, the oldest first: what became of their writes nobody learned.
    late: VecDeque<Late>,
    /// How many keys they are on.
    late_keys: usize,
    /// The store is owed releases.
    owing: bool,
    /// Who is to be woken when; gone where nobody waits any more.
    #[cfg(feature = "async")]
    alarms: Vec<(Instant, Weak<Event>)>,
    /// When the thread looks next, where it knows.
    looks_at: Option<Instant>,
    thread: Thread,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Thread {
    #[default]
    NotStarted,
    Awake,
    /// It looks at nothing until it is woken.
    Asleep,
    Stopped,
}

#[derive(Debug)]
struct Held {
    keys: Arc<[String]>,
    due: Instant,
}

#[derive(Debug)]
struct Late {
    token: Token,
    keys: Arc<[String]>,
    due: Instant,
    /// Where they could not be placed.
    barred: Option<Barred>,
}

/// The intents of one commit, which are placed again while this lives: a commit may take longer than an intent.
#[derive(Debug)]
pub(crate) struct Hold {
    keeper: Keeper,
    token: Token,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.keeper.lock().held.remove(&self.token);
    }
}

/// The intents of some commits.
type Intents = Vec<(Token, Arc<[String]>)>;

/// What is to be done now.
struct Work {
    place: Intents,
    release: Vec<Late>,
    /// Whether the store is owed something.
    pay: bool,
}

impl Keeper {
    pub(super) fn new(intent_ms: u64) -> Self {
        let period = Duration::from_millis(intent_ms) / 3;
        Self(Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), period }))
    }

    /// Looks after these intents until the hold is dropped.
    pub(super) fn hold(&self, cache: &Cache, token: Token, keys: &Arc<[String]>) -> Hold {
        let held = Held { keys: keys.clone(), due: Instant::now() + self.0.period };
        let mut state = self.lock();
        state.held.insert(token, held);
        self.wake(state, cache);
        Hold { keeper: self.clone(), token }
    }

    /// Releases these intents once they have expired, wherever the cache is still there.
    pub(super) fn release_late(
        &self,
        cache: &Cache,
        token: Token,
        keys: &Arc<[String]>,
        barred: Option<Barred>,
    ) {
        let due = Instant::now() + 3 * self.0.period;
        let mut state = self.lock();
        state.late.push_back(Late { token, keys: keys.clone(), due, barred });
        state.late_keys += keys.len();
        while state.late_keys > MAX_LATE {
            state.oldest_late();
        }
        self.wake(state, cache);
    }

    /// The store is owed something.
    pub(super) fn owe(&self, cache: &Cache) {
        let mut state = self.lock();
        state.owing = true;
        self.wake(state, cache);
    }

    /// Rings at `due`: in an async program nobody else has a clock.
    #[cfg(feature = "async")]
    pub(super) fn alarm(&self, cache: &Cache, due: Instant) -> Alarm {
        let bell = Arc::new(Event::new());
        let listener = bell.listen();
        let mut state = self.lock();
        state.alarms.push((due, Arc::downgrade(&bell)));
        if state.looks_at.is_some_and(|looks_at| due < looks_at) {
            self.0.changed.notify_one();
        }
        self.wake(state, cache);
        Alarm { listener, _bell: bell }
    }

    pub(super) fn stop(&self) {
        self.lock().thread = Thread::Stopped;
        self.0.changed.notify_one();
    }

    fn wake(&self, mut state: MutexGuard<'_, State>, cache: &Cache) {
        let before = state.thread;
        if before != Thread::Stopped {
            state.thread = Thread::Awake;
        }
        if before == Thread::Asleep || state.owing {
            self.0.changed.notify_one();
        }
        if before == Thread::NotStarted {
            let (keeper, cache) = (self.clone(), cache.downgrade());
            let spawned =
                std::thread::Builder::new().name("model-cache".into()).spawn(move || keeper.run(&cache));
            if let Err(error) = spawned {
                // Tried again with the next write.
                state.thread = Thread::NotStarted;
                tracing::warn!(%error, "the cache has no background thread: commits must end within `intent_lifetime`");
            }
        }
    }

    fn run(&self, cache: &WeakCache) {
        while let Some(Work { place, release, pay }) = self.next() {
            let Some(cache) = cache.upgrade() else { return };
            for (token, keys) in place {
                survive(|| cache.place_again(token, &keys));
            }
            for Late { token, keys, barred, .. } in release {
                if survive(|| cache.release_expired(token, &keys)).is_none() {
                    cache.postpone(&keys);
                }
                drop(barred);
            }
            if pay && survive(|| cache.pay()).unwrap_or(true) {
                self.lock().owing = true;
            }
        }
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        let mut idle = 0;
        loop {
            if state.thread == Thread::Stopped {
                return None;
            }
            let alarm = state.next_alarm();
            let idles = state.held.is_empty() && state.late.is_empty() && alarm.is_none();
            idle = if idles { idle + 1 } else { 0 };
            state = if state.owing {
                self.wait(state, RETRY)
            } else if idle < IDLE_LOOKS {
                let alarm = alarm.map(|due| due.saturating_duration_since(Instant::now()));
                // Half of the period, so that nobody need wake the thread for each write.
                let time = self.0.period / 2;
                self.wait(state, alarm.map_or(time, |alarm| alarm.min(time)))
            } else {
                state.thread = Thread::Asleep;
                self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
            let now = Instant::now();
            state.ring(now);
            let (place, release) = (state.due(now, self.0.period), state.expired(now));
            if !place.is_empty() || !release.is_empty() || state.owing {
                // Taken before it is paid: what comes to be owed meanwhile is looked at again.
                let pay = std::mem::take(&mut state.owing);
                let work = Work { place, release, pay };
                return Some(work).filter(|_| state.thread != Thread::Stopped);
            }
        }
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State>, time: Duration) -> MutexGuard<'s, State> {
        state.looks_at = Some(Instant::now() + time);
        let mut state = self.0.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
        state.looks_at = None;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` where the store panics: the thread goes on without that piece of work.
fn survive<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        tracing::warn!("the store panicked in the cache's background thread");
    }
    done
}

#[cfg(feature = "async")]
impl State {
    fn next_alarm(&self) -> Option<Instant> {
        self.alarms.iter().map(|(due, _)| *due).min()
    }

    /// Wakes who has waited long enough, and forgets who waits no more.
    fn ring(&mut self, now: Instant) {
        self.alarms.retain(|(due, bell)| {
            let Some(bell) = bell.upgrade() else { return false };
            if *due <= now {
                bell.notify(usize::MAX);
            }
            *due > now
        });
    }
}

/// Without async nobody needs to be woken.
#[cfg(not(feature = "async"))]
#[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "the same face as with it")]
impl State {
    fn next_alarm(&self) -> Option<Instant> {
        None
    }

    fn ring(&mut self, _: Instant) {}
}

/// Rings when a time has come.
#[cfg(feature = "async")]
#[derive(Debug)]
pub(crate) struct Alarm {
    pub(crate) listener: EventListener,
    _bell: Arc<Event>,
}

impl State {
    /// What is to be placed again.
    fn due(&mut self, now: Instant, period: Duration) -> Intents {
        let due = self.held.iter_mut().filter(|(_, held)| held.due <= now);
        due.map(|(token, held)| {
            held.due = now + period;
            (*token, held.keys.clone())
        })
        .collect()
    }

    /// What is to be released.
    fn expired(&mut self, now: Instant) -> Vec<Late> {
        let mut expired = Vec::new();
        while self.late.front().is_some_and(|late| late.due <= now) {
            expired.extend(self.oldest_late());
        }
        expired
    }

    fn oldest_late(&mut self) -> Option<Late> {
        let oldest = self.late.pop_front()?;
        self.late_keys -= oldest.keys.len();
        Some(oldest)
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_keys_of_unseen_outcomes_are_forgotten_first() {
        let cache = Cache::memory();
        let keeper = Keeper::new(3_600_000);
        let keys = |count: usize| Arc::<[String]>::from(vec![String::new(); count]);
        for (number, count) in [(1, 40_000), (2, 20_000), (3, 10_000)] {
            keeper.release_late(&cache, [number; 16], &keys(count), None);
        }
        let state = keeper.lock();
        let tokens: Vec<u8> = state.late.iter().map(|late| late.token[0]).collect();
        assert_eq!((tokens, state.late_keys), (vec![2, 3], 30_000));
        drop(state);
        keeper.stop();
    }
}
