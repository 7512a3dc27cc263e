//! The handle that applications hold: every call of a session to the store goes through it.
use super::breaker::Pauses;
use super::builder::CacheBuilder;
use super::canary::Canary;
use super::codec::{key_text, name_of};
use super::flight::Flights;
use super::gate::Gate;
use super::keeper::Keeper;
use super::key::make_key;
use super::near::Near;
use super::observe::{Counters, Stats};
use super::outage::Outage;
use super::phases::Phases;
use super::protocol::Command;
use super::send::{DRAIN_CHUNK, page};
use super::unplaced::Unplaced;
use crate::error::{Error, Result as Fallible};
use crate::field::KeyTexts;
use crate::model::SentryModel;
use crate::store::{Store, StoreError};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

/// A shared row cache: a store, a configuration and counters. Clones share all three.
///
/// # Example: one cache for the whole process
/// ```
/// use model_runtime::Cache;
///
/// let cache = Cache::memory();
/// assert_eq!(cache.stats().hits, 0);
/// ```
#[derive(Clone)]
pub struct Cache(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Arc<dyn Store>,
    pub(super) config: Config,
    pub(super) counters: Counters,
    pub(super) outage: Mutex<Outage>,
    pub(super) flights: Flights,
    pub(super) gate: Gate,
    pub(super) keeper: Keeper,
    pub(super) canary: Canary,
    pub(super) unplaced: Unplaced,
    /// Made for the first model that wants it.
    pub(super) near: OnceLock<Arc<Near>>,
    pub(super) phases: Phases,
    pub(super) started: Instant,
}

/// What the protocol's steps need to know.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) prefix: String,
    pub(crate) lease_ms: u64,
    pub(crate) intent_ms: u64,
    /// The factor of early refreshes; 0 for none.
    pub(crate) refresh_ahead: f64,
    /// How many lookups ask the database at once while the store is out of reach.
    pub(crate) outage_concurrency: usize,
    /// How long nobody asks a store that did not answer.
    pub(crate) first_pause_ms: u64,
    /// To what probes that fail lengthen that.
    pub(crate) longest_pause_ms: u64,
    /// Which share of the hits is compared with the database.
    pub(crate) canary: f64,
    /// How many copies are kept near their readers.
    pub(crate) near_capacity: usize,
}

impl Config {
    /// What every key begins with; the origin's.
    pub(super) const PREFIX: &str = "modelcache";
    pub(super) const LEASE_MS: u64 = 3000;
    pub(super) const INTENT_MS: u64 = 10_000;
    pub(super) const REFRESH_AHEAD: f64 = 1.0;
    pub(super) const OUTAGE_CONCURRENCY: usize = 64;
    pub(super) const FIRST_PAUSE_MS: u64 = 100;
    /// With the time-out of a probe that is under way when the store comes back, less than a second.
    pub(super) const LONGEST_PAUSE_MS: u64 = 400;
    pub(super) const NEAR_CAPACITY: usize = 10_000;
}

impl Config {
    fn pauses(&self) -> Pauses {
        // A probe is given up when a reader gives up another one that it waits for.
        Pauses { first: self.first_pause_ms, longest: self.longest_pause_ms, probe: self.lease_ms }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefix: Self::PREFIX.to_owned(),
            lease_ms: Self::LEASE_MS,
            intent_ms: Self::INTENT_MS,
            refresh_ahead: Self::REFRESH_AHEAD,
            outage_concurrency: Self::OUTAGE_CONCURRENCY,
            first_pause_ms: Self::FIRST_PAUSE_MS,
            longest_pause_ms: Self::LONGEST_PAUSE_MS,
            canary: 0.0,
            near_capacity: Self::NEAR_CAPACITY,
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.0.store)
            .field("config", &self.0.config)
            .field("phases", &self.0.phases)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache in this process.
    #[cfg(feature = "memory")]
    #[must_use]
    pub fn memory() -> Self {
        Self::new(Arc::new(crate::store::MemoryStore::default()), Config::default())
    }

    /// A cache on the Redis server, version 7 or later, at `redis://[user:password@]host[:port][/database]`.
    ///
    /// # Errors
    /// [`Error::Cache`](crate::Error::Cache) where the URL is none or the server does not answer within 500 ms;
    /// the text names the server, never the password. [`connect_lazy`](Self::connect_lazy) starts without it.
    #[cfg(feature = "redis")]
    pub fn connect(url: &str) -> crate::Result<Self> {
        Self::builder().redis(url).build()
    }

    /// The same without a first connection: until the server answers, the database does.
    ///
    /// # Errors
    /// [`Error::Cache`](crate::Error::Cache) where the URL is none.
    #[cfg(feature = "redis")]
    pub fn connect_lazy(url: &str) -> crate::Result<Self> {
        Self::builder().redis(url).lazy().build()
    }

    /// A cache with other settings.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }

    /// How often each thing happened since the cache was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.snapshot()
    }

    /// Deletes every entry of a model, and returns how many; to be called after other programs changed many of its rows.
    ///
    /// Rows that are being written keep their intents, and a reader that asked the database before does not fill. It
    /// looks at each key of the server, a thousand in a round trip: for single rows there is
    /// [`invalidate`](SentryModel::invalidate).
    ///
    /// # Errors
    /// [`Error::Cache`] where the store does not answer; some entries may be left then.
    ///
    /// # Example: after a script
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let cache = Cache::memory();
    /// assert_eq!(cache.clear::<Project>()?, 0);
    /// # Ok(()) }
    /// ```
    pub fn clear<M: SentryModel>(&self) -> Fallible<u64> {
        let (mut cursor, mut count) = (0, 0);
        let clearing = self.0.phases.clearing(name_of::<M>());
        loop {
            let (next, deletions) = page(self.call(&[self.scan::<M>(cursor)]).map_err(unclear::<M>)?);
            for chunk in deletions.chunks(DRAIN_CHUNK) {
                self.call(chunk).map_err(unclear::<M>)?;
            }
            (cursor, count) = (next, count + deletions.len() as u64);
            if cursor == 0 {
                self.0.phases.cleared(&clearing);
                return Ok(count);
            }
        }
    }

    /// The same, awaited.
    ///
    /// # Errors
    /// As [`clear`](Self::clear).
    #[cfg(feature = "async")]
    pub async fn clear_async<M: SentryModel>(&self) -> Fallible<u64> {
        let (mut cursor, mut count) = (0, 0);
        let clearing = self.0.phases.clearing(name_of::<M>());
        loop {
            let scan = [self.scan::<M>(cursor)];
            let (next, deletions) = page(self.call_async(&scan).await.map_err(unclear::<M>)?);
            for chunk in deletions.chunks(DRAIN_CHUNK) {
                self.call_async(chunk).await.map_err(unclear::<M>)?;
            }
            (cursor, count) = (next, count + deletions.len() as u64);
            if cursor == 0 {
                self.0.phases.cleared(&clearing);
                return Ok(count);
            }
        }
    }

    /// Tells the store what it is owed: keys that were written while it was out of reach. A background thread does so
    /// once the store answers; call this before the process ends. It asks the store at once, also where nobody else does for
    /// a while, and blocks for `patience` and one time-out at most.
    ///
    /// # Errors
    /// [`Error::Cache`] where keys are left: until their time to live ends, other processes may be served what
    /// stood there before.
    ///
    /// # Example: at the end of `main`
    /// ```
    /// use model_runtime::Cache;
    /// use std::time::Duration;
    ///
    /// let cache = Cache::memory();
    /// cache.drain(Duration::from_secs(5))?;
    /// # Ok::<_, model_runtime::Error>(())
    /// ```
    pub fn drain(&self, patience: Duration) -> Fallible<()> {
        const PAUSE: Duration = Duration::from_millis(20);
        let end = Instant::now() + patience;
        while self.pay_at_once() {
            if Instant::now() + PAUSE > end {
                let left = self.outage().owed();
                let count = if left == usize::MAX { "all".to_owned() } else { left.to_string() };
                return Err(Error::Cache(format!("{count} keys are left that the store was not told of")));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// The key of a row's entry, for diagnosis.
    #[must_use]
    pub fn row_key<M: SentryModel<Pk: KeyTexts>>(&self, row: &M) -> String {
        self.key::<M>(&key_text::<M::Pk>(row))
    }

    pub(super) fn new(store: Arc<dyn Store>, config: Config) -> Self {
        Self(Arc::new(Inner {
            gate: Gate::new(config.outage_concurrency),
            canary: Canary::default(),
            unplaced: Unplaced::default(),
            near: OnceLock::new(),
            phases: Phases::default(),
            keeper: Keeper::new(config.intent_ms),
            outage: Mutex::new(Outage::new(config.pauses())),
            store,
            config,
            counters: Counters::default(),
            flights: Flights::default(),
            started: Instant::now(),
        }))
    }

    fn scan<M: SentryModel>(&self, cursor: u64) -> Command {
        Command::Scan { prefix: self.prefix_of::<M>(), cursor }
    }

    /// What the keys of a model begin with.
    pub(super) fn prefix_of<M: SentryModel>(&self) -> String {
        format!("{}:{}:", self.0.config.prefix, name_of::<M>())
    }

    pub(crate) fn key<M: SentryModel>(&self, text: &str) -> String {
        make_key(&self.0.config.prefix, name_of::<M>(), text)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.0.flights
    }

    /// The keys that are looked up in the database alone.
    pub(crate) fn unplaced(&self) -> &Unplaced {
        &self.0.unplaced
    }

    pub(crate) fn canary(&self) -> &Canary {
        &self.0.canary
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn downgrade(&self) -> WeakCache {
        WeakCache(Arc::downgrade(&self.0))
    }
}

/// A cache that may be gone.
pub(super) struct WeakCache(Weak<Inner>);

impl WeakCache {
    pub(super) fn upgrade(&self) -> Option<Cache> {
        self.0.upgrade().map(Cache)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.stop();
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unclear<M: SentryModel>(error: StoreError) -> Error {
    Error::Cache(format!("{}: entries may be left, call `clear` again: {error}", M::NAME))
}
