//! Counters.
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters { ($($(#[$doc:meta])* $event:ident $field:ident)*) => {
    /// What is counted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Event { $($event),* }

    impl Event {
        /// Of the counter that the feature `metrics` increments.
        #[cfg(feature = "metrics")]
        pub(crate) fn name(self) -> &'static str {
            match self { $(Event::$event => concat!("model_cache_", stringify!($field), "_total")),* }
        }
    }

    /// How often each thing happened since the cache was made; a snapshot.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Stats { $($(#[$doc])* pub $field: u64),* }

    #[derive(Debug, Default)]
    pub(crate) struct Counters { $($field: AtomicU64),* }

    impl Counters {
        /// Of no model in particular.
        pub(crate) fn add(&self, event: Event, count: u64) {
            self.counter(event).fetch_add(count, Ordering::Relaxed);
            #[cfg(feature = "metrics")]
            metrics::counter!(event.name()).increment(count);
        }

        /// Of one model.
        pub(crate) fn add_of(&self, model: &'static str, event: Event, count: u64) {
            self.counter(event).fetch_add(count, Ordering::Relaxed);
            #[cfg(feature = "metrics")]
            metrics::counter!(event.name(), "model" => model).increment(count);
            #[cfg(not(feature = "metrics"))]
            let _ = model;
        }

        fn counter(&self, event: Event) -> &AtomicU64 {
            match event { $(Event::$event => &self.$field),* }
        }

        pub(crate) fn snapshot(&self) -> Stats {
            Stats { $($field: self.$field.load(Ordering::Relaxed)),* }
        }
    }
} }

counters! {
    /// Lookups answered by the store.
    Hit hits
    /// Lookups that the store answered with the absence of a row.
    NegativeHit negative_hits
    /// Lookups answered by a copy in this process.
    NearHit near_hits
    /// Hits that asked the database already, because their time was nearly over.
    Refresh refreshes
    /// Lookups that shared the database read of another reader in this process.
    Shared shared
    /// Lookups that the store had nothing for; the database answered, and the answer may be filled.
    Miss misses
    /// Lookups that the database answered and that left the store alone: a write was under way, another
    /// reader was filling, or the store was out of reach.
    Bypass bypasses
    /// Rows that were stored.
    Fill fills
    /// Rows that were not stored because a write came in between.
    RefusedFill refused_fills
    /// Pointers that led to a row with another value.
    StalePointer stale_pointers
    /// Entries that could not be decoded and were replaced.
    Healed healed
    /// Intents that were gone before their release: evicted, flushed, or outlived.
    LostIntent lost_intents
    /// Entries of another life of the store or another schema, which were replaced.
    EpochMiss epoch_misses
    /// Intents that were placed again, because their commit took long.
    RenewedIntent renewed_intents
    /// Sampled hits that were compared with the database.
    CanaryCheck canary_checks
    /// Those that were stale: a row that other programs write, or a defect.
    CanaryStale canary_stale
    /// Batches sent to the store.
    RoundTrip round_trips
    /// Batches that the store did not answer.
    StoreError store_errors
    /// How often the store was found to be out of reach; an outage counts once, however many batches it fails.
    Outage outages
    /// Batches that were to find out whether an outage is over.
    Probe probes
    /// Outages that have ended.
    Recovery recoveries
    /// Keys whose release is to be sent again.
    Postponed postponed
    /// Keys that were too many to remember: the store is emptied before it is believed again.
    DroppedInvalidation dropped_invalidations
    /// Keys whose release was sent again.
    Drained drained
}

/// How many keys the store is owed now.
#[allow(unused_variables, reason = "of the feature `metrics`")]
pub(crate) fn gauge_owed(keys: usize) {
    #[cfg(feature = "metrics")]
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("model_cache_owed_keys").set(keys as f64);
}
