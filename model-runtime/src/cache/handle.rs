//! The handle that applications hold: every call of a session to the store goes through it.
use super::builder::CacheBuilder;
use super::codec::key_texts;
use super::entry::new_token;
use super::key::make_key;
use super::observe::{Counters, Event, Stats};
use super::outage::{Outage, Owed, Verdict};
use super::protocol::{Command, Reply};
use crate::field::KeyTexts;
use crate::model::SentryModel;
use crate::store::{Answer, Store, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many postponed keys are released in one batch.
const DRAIN_CHUNK: usize = 256;

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
pub struct Cache(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    config: Config,
    counters: Counters,
    outage: Mutex<Outage>,
    started: Instant,
}

/// What the protocol's steps need to know.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) prefix: String,
    pub(crate) lease_ms: u64,
    pub(crate) intent_ms: u64,
}

impl Config {
    /// What every key begins with; the origin's.
    pub(super) const PREFIX: &str = "modelcache";
    pub(super) const LEASE_MS: u64 = 3000;
    pub(super) const INTENT_MS: u64 = 10_000;
}

impl Default for Config {
    fn default() -> Self {
        Self { prefix: Self::PREFIX.to_owned(), lease_ms: Self::LEASE_MS, intent_ms: Self::INTENT_MS }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.0.store)
            .field("config", &self.0.config)
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

    /// The key of a row's entry, for diagnosis.
    #[must_use]
    pub fn row_key<M: SentryModel<Pk: KeyTexts>>(&self, row: &M) -> String {
        self.key(M::NAME, &key_texts::<M::Pk>(row))
    }

    pub(super) fn new(store: Arc<dyn Store>, config: Config) -> Self {
        let (counters, outage) = (Counters::default(), Mutex::default());
        Self(Arc::new(Inner { store, config, counters, outage, started: Instant::now() }))
    }

    pub(crate) fn key(&self, model: &str, fields: &[(&str, String)]) -> String {
        make_key(&self.0.config.prefix, model, fields)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Sends a batch, after the releases that are still owed.
    pub(crate) fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        while let Some(owed) = self.owed()? {
            let releases = releases(&owed);
            let answer = self.0.store.call(&releases);
            self.heard(&releases, answer)?;
            self.paid(&owed);
        }
        let answer = self.0.store.call(batch);
        self.heard(batch, answer)
    }

    /// The same, awaited.
    #[cfg(feature = "async")]
    pub(crate) async fn call_async(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        while let Some(owed) = self.owed()? {
            let releases = releases(&owed);
            let answer = self.0.store.call_async(&releases).await;
            self.heard(&releases, answer)?;
            self.paid(&owed);
        }
        let answer = self.0.store.call_async(batch).await;
        self.heard(batch, answer)
    }

    /// These keys were written and their release was not answered: it is sent before the store is next
    /// believed.
    pub(crate) fn postpone(&self, keys: Vec<String>) {
        self.0.counters.add(Event::Postponed, keys.len() as u64);
        let now = self.now_ms();
        self.outage().postpone(keys, now);
    }

    /// What must be released before anything else is sent; an error where nothing may be sent.
    fn owed(&self) -> Result<Option<Owed>, StoreError> {
        match self.outage().verdict(self.now_ms(), DRAIN_CHUNK) {
            Verdict::Send => Ok(None),
            Verdict::DrainFirst(owed) => Ok(Some(owed)),
            Verdict::Unavailable => Err(StoreError("the store did not answer a moment ago".into())),
        }
    }

    fn paid(&self, owed: &Owed) {
        self.0.counters.add(Event::Drained, owed.keys.len() as u64);
        self.outage().drained(owed);
    }

    /// Takes note of what became of a batch.
    fn heard(&self, batch: &[Command], answer: Result<Answer, StoreError>) -> Result<Answer, StoreError> {
        self.0.counters.add(Event::RoundTrip, 1);
        let answer = answer.and_then(|answer| match answer.replies.len() == batch.len() {
            true => Ok(answer),
            false => Err(StoreError(format!("{} replies to {} commands", answer.replies.len(), batch.len()))),
        });
        match &answer {
            Ok(answer) => self.answered(batch, answer),
            Err(error) => self.failed(error),
        }
        answer
    }

    fn answered(&self, batch: &[Command], answer: &Answer) {
        let filled =
            batch.iter().zip(&answer.replies).filter_map(|(command, reply)| match (command, reply) {
                (Command::Swap { ttl_ms, .. }, Reply::Done(true)) => Some(*ttl_ms),
                _ => None,
            });
        let mut outage = self.outage();
        filled.for_each(|ttl_ms| outage.filled(ttl_ms));
        if outage.answered() {
            tracing::info!("the cache answers again");
        }
    }

    fn failed(&self, error: &StoreError) {
        self.0.counters.add(Event::StoreError, 1);
        let now = self.now_ms();
        if self.outage().failed(now) {
            tracing::warn!(%error, "the cache is out of reach; the database answers");
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.0.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// By a token that nobody placed: whatever was filled since is deleted, intents of others stay.
fn releases(owed: &Owed) -> Vec<Command> {
    let token = new_token();
    owed.keys.iter().map(|key| Command::Release { key: key.clone(), token }).collect()
}
