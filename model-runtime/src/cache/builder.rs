//! How a cache is configured.
use super::handle::{Cache, Config};
use super::protocol::MAX_LIFETIME_MS;
use crate::error::{Error, Result};
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "redis")]
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
#[cfg(feature = "redis")]
const IO_TIMEOUT: Duration = Duration::from_millis(250);

/// Configures a [`Cache`]: where its entries live, what its keys begin with, how long it waits.
///
/// # Example: two services share one server
/// ```
/// use model_runtime::Cache;
///
/// let cache = Cache::builder().memory().namespace("billing").build()?;
/// # Ok::<_, model_runtime::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct CacheBuilder {
    place: Place,
    namespace: String,
    lease: Duration,
    intent_lifetime: Duration,
    refresh_ahead: f64,
    outage_concurrency: usize,
    outage_first_pause: Duration,
    outage_longest_pause: Duration,
    canary: f64,
    near_capacity: usize,
    #[cfg(feature = "redis")]
    connect_timeout: Duration,
    #[cfg(feature = "redis")]
    io_timeout: Duration,
    #[cfg(feature = "redis")]
    lazy: bool,
    #[cfg(feature = "tls")]
    tls: Option<crate::store::Tls>,
}

enum Place {
    Nowhere,
    Store(Arc<dyn Store>),
    #[cfg(feature = "redis")]
    Redis(String),
}

// A Redis URL may hold a password.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nowhere => f.write_str("Nowhere"),
            Self::Store(store) => f.debug_tuple("Store").field(store).finish(),
            #[cfg(feature = "redis")]
            Self::Redis(_) => f.write_str("Redis"),
        }
    }
}

impl CacheBuilder {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Nowhere,
            namespace: String::new(),
            lease: Duration::from_millis(Config::LEASE_MS),
            intent_lifetime: Duration::from_millis(Config::INTENT_MS),
            refresh_ahead: Config::REFRESH_AHEAD,
            outage_concurrency: Config::OUTAGE_CONCURRENCY,
            outage_first_pause: Duration::from_millis(Config::FIRST_PAUSE_MS),
            outage_longest_pause: Duration::from_millis(Config::LONGEST_PAUSE_MS),
            canary: 0.0,
            near_capacity: Config::NEAR_CAPACITY,
            #[cfg(feature = "redis")]
            connect_timeout: CONNECT_TIMEOUT,
            #[cfg(feature = "redis")]
            io_timeout: IO_TIMEOUT,
            #[cfg(feature = "redis")]
            lazy: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Entries live in this process.
    #[cfg(feature = "memory")]
    pub fn memory(self) -> Self {
        self.store(Arc::new(crate::store::MemoryStore::default()))
    }

    /// Entries live on the Redis server, version 7 or later, at `redis://[user:password@]host[:port][/database]`, or
    /// `rediss://…` with the feature `tls`.
    #[cfg(feature = "redis")]
    pub fn redis(self, url: &str) -> Self {
        Self { place: Place::Redis(url.to_owned()), ..self }
    }

    /// Entries live in a store of your own.
    pub fn store(self, store: Arc<dyn Store>) -> Self {
        Self { place: Place::Store(store), ..self }
    }

    /// Every key begins with `namespace:`, so that services do not meet on one server.
    pub fn namespace(self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self }
    }

    /// How long a reader may take from the look to the fill before another may try; 3 s unless told.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// How long an intent holds if its writer dies; 10 s unless told. It must exceed the time from the first
    /// intent of a transaction to the end of its COMMIT: keep PostgreSQL's `idle_in_transaction_session_timeout`
    /// and `statement_timeout` below it.
    pub fn intent_lifetime(self, intent_lifetime: Duration) -> Self {
        Self { intent_lifetime, ..self }
    }

    /// How eagerly a row that is read is loaded again before its time to live ends, so that it never expires under
    /// its readers; 1 unless told, 0 for never. The `beta` of probabilistic early expiration (XFetch): with 2, twice
    /// as early.
    pub fn refresh_ahead(self, beta: f64) -> Self {
        Self { refresh_ahead: beta, ..self }
    }

    /// How many lookups ask the database at once while the store is out of reach; 64 unless told. The others of this
    /// process wait for their turn.
    pub fn outage_concurrency(self, lookups: usize) -> Self {
        Self { outage_concurrency: lookups, ..self }
    }

    /// For how long nobody asks a store that has not answered; 100 ms unless told. Then one call finds out whether it
    /// is back, while the others are answered by the database at once. Each such probe that fails doubles the pause, up to
    /// [`outage_longest_pause`](Self::outage_longest_pause).
    ///
    /// # Example: a store that is asked twice a second at most while it is away
    /// ```
    /// use model_runtime::Cache;
    /// use std::time::Duration;
    ///
    /// let pause = Duration::from_millis(500);
    /// let cache = Cache::builder().memory().outage_first_pause(pause).outage_longest_pause(pause).build()?;
    /// # Ok::<_, model_runtime::Error>(())
    /// ```
    pub fn outage_first_pause(self, pause: Duration) -> Self {
        Self { outage_first_pause: pause, ..self }
    }

    /// The longest such pause; 400 ms unless told. After the store has come back it takes this and one time-out at most
    /// until the next call finds it, whatever the number of callers and however long it was away.
    pub fn outage_longest_pause(self, pause: Duration) -> Self {
        Self { outage_longest_pause: pause, ..self }
    }

    /// Which share of the hits is compared with the database, at once and again after one second and one minute, by
    /// whichever session next looks up a row of the model; 0 unless told. Each comparison costs a SELECT.
    ///
    /// [`Stats::canary_stale`](crate::Stats::canary_stale) counts what was stale, the log names its key, and the entry
    /// is deleted. With no other program writing the table, it stays 0: alert on it.
    pub fn canary(self, share: f64) -> Self {
        Self { canary: share, ..self }
    }

    /// How many rows of models with `near = "…"` are kept in this process; 10,000 unless told. When there are more, some
    /// are dropped.
    pub fn near_capacity(self, rows: usize) -> Self {
        Self { near_capacity: rows, ..self }
    }

    /// How long a connection to Redis may take; 500 ms unless told.
    #[cfg(feature = "redis")]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// How long Redis may take to answer; 250 ms unless told.
    #[cfg(feature = "redis")]
    pub fn io_timeout(self, io_timeout: Duration) -> Self {
        Self { io_timeout, ..self }
    }

    /// The certificates for `rediss://…`; without them the system's are trusted.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: crate::store::Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// [`build`](Self::build) does not connect: a service may start while Redis is away.
    #[cfg(feature = "redis")]
    pub fn lazy(self) -> Self {
        Self { lazy: true, ..self }
    }

    /// The cache.
    ///
    /// # Errors
    /// [`Error::Cache`] where no store was chosen, a duration is zero or over a day, the URL is none, or Redis does not
    /// answer; the text names the server, never the password.
    pub fn build(self) -> Result<Cache> {
        if !(0.0..=f64::MAX).contains(&self.refresh_ahead) {
            let message = format!("`refresh_ahead` is {}; it must be 0 or more", self.refresh_ahead);
            return Err(Error::Cache(message));
        }
        if !(0.0..=1.0).contains(&self.canary) {
            return Err(Error::Cache(format!("`canary` is {}; it must be from 0 to 1", self.canary)));
        }
        if self.near_capacity == 0 {
            let message =
                "`near_capacity` is 0; leave `near` out of the models that nothing is to be kept of";
            return Err(Error::Cache(message.into()));
        }
        if self.outage_concurrency == 0 {
            return Err(Error::Cache("`outage_concurrency` is 0; no lookup would ever be answered".into()));
        }
        if self.outage_first_pause > self.outage_longest_pause {
            let (first, longest) = (self.outage_first_pause, self.outage_longest_pause);
            return Err(Error::Cache(format!(
                "`outage_first_pause` is {first:?}; it must not exceed `outage_longest_pause`, which is {longest:?}"
            )));
        }
        let config = Config {
            prefix: match self.namespace.as_str() {
                "" => Config::PREFIX.to_owned(),
                namespace => format!("{namespace}:{}", Config::PREFIX),
            },
            lease_ms: milliseconds("lease", self.lease)?,
            intent_ms: milliseconds("intent_lifetime", self.intent_lifetime)?,
            refresh_ahead: self.refresh_ahead,
            outage_concurrency: self.outage_concurrency,
            first_pause_ms: milliseconds("outage_first_pause", self.outage_first_pause)?,
            longest_pause_ms: milliseconds("outage_longest_pause", self.outage_longest_pause)?,
            canary: self.canary,
            near_capacity: self.near_capacity,
        };
        Ok(Cache::new(self.into_store(&config.prefix)?, config))
    }

    #[cfg_attr(not(feature = "redis"), allow(unused_variables, reason = "of the Redis store"))]
    fn into_store(self, prefix: &str) -> Result<Arc<dyn Store>> {
        match self.place {
            Place::Nowhere => {
                Err(Error::Cache("no store was chosen: call `memory`, `redis` or `store`".into()))
            }
            Place::Store(store) => Ok(store),
            #[cfg(feature = "redis")]
            Place::Redis(url) => {
                let (connect, io, quarantine) = (self.connect_timeout, self.io_timeout, self.intent_lifetime);
                #[cfg(feature = "tls")]
                let store = match &self.tls {
                    Some(tls) => crate::store::RedisStore::with_tls(&url, tls, connect, io, quarantine),
                    None => crate::store::RedisStore::new(&url, connect, io, quarantine),
                }?;
                #[cfg(not(feature = "tls"))]
                let store = crate::store::RedisStore::new(&url, connect, io, quarantine)?;
                store.set_prefix(prefix);
                if !self.lazy {
                    store.check()?;
                }
                Ok(Arc::new(store))
            }
        }
    }
}

fn milliseconds(what: &str, duration: Duration) -> Result<u64> {
    match u64::try_from(duration.as_millis()) {
        Ok(ms @ 1..=MAX_LIFETIME_MS) => Ok(ms),
        _ => Err(Error::Cache(format!("`{what}` is {duration:?}; it must be from a millisecond to a day"))),
    }
}
