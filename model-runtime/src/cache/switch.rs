//! What operators call: the phase of a model, asked for and set.
use super::codec::CacheSpec;
use super::handle::Cache;
use super::phase::{Past, Phase, may_go};
use crate::error::{Error, Result};
use crate::model::SentryModel;
use std::time::{Duration, Instant};

/// The phases of models.
impl Cache {
    /// The phase of a model in this process.
    ///
    /// # Errors
    /// [`Error::Cache`] where the model is not cached, or disagrees with another struct of its `name`.
    ///
    /// # Example: an attribute without `phase` says `on`
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::Phase;
    ///
    /// # fn main() -> Result<(), Error> {
    /// assert_eq!(Cache::memory().phase::<Project>()?, Phase::On);
    /// # Ok(()) }
    /// ```
    pub fn phase<M: SentryModel>(&self) -> Result<Phase> {
        self.with_named(|named, spec: &CacheSpec<M>| Ok(named.phase(spec)))
    }

    /// The phase of what `negative` caches, `None` where the model has no `negative`. Nothing of it is read while the model
    /// itself is not [`On`](Phase::On).
    ///
    /// # Errors
    /// As [`phase`](Self::phase).
    pub fn negative_phase<M: SentryModel>(&self) -> Result<Option<Phase>> {
        self.with_named(|named, spec: &CacheSpec<M>| Ok(named.negative_phase(spec)))
    }

    /// Sets the phase of a model, and of every struct that shares its `name`, in this process: at once, for all clones of
    /// this cache, whatever the attribute and the builder say.
    ///
    /// Lookups that began before end as they would have, but fill nothing once the phase is not [`On`](Phase::On).
    /// Transactions tell the cache of everything they wrote if the phase demands it when they commit.
    ///
    /// Between [`WriteOnly`](Phase::WriteOnly) and [`On`](Phase::On) a process may go back and forth at any time, while none
    /// is [`Off`](Phase::Off). From `On` to `Off` and back it goes by way of `WriteOnly`, and only when *every* process is
    /// there: this one cannot know of the others.
    ///
    /// # Errors
    /// [`Error::Cache`] where the model is not cached, where the step jumps over `WriteOnly`, where what began before the last
    /// step may still be at work (the longer of `intent_lifetime` and `lease` after it), and where rows were written in
    /// `Off` since [`clear`](Self::clear) was last called. The phase stays as it was.
    ///
    /// # Example: an operator stops lookups from using the cache
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::Phase;
    ///
    /// # fn main() -> Result<(), Error> {
    /// let cache = Cache::memory();
    /// cache.set_phase::<Project>(Phase::WriteOnly)?;
    /// cache.set_phase::<Project>(Phase::On)?;
    /// assert!(cache.set_phase::<Project>(Phase::Off).is_err(), "by way of write-only");
    /// # Ok(()) }
    /// ```
    pub fn set_phase<M: SentryModel>(&self, phase: Phase) -> Result<()> {
        let settle = Duration::from_millis(self.config().intent_ms.max(self.config().lease_ms));
        let before = self.with_named(|named, spec: &CacheSpec<M>| {
            let now = named.phase(spec);
            let before = named.before.map(|(phase, since)| (phase, since.elapsed()));
            may_go(now, phase, Past { before, untold: named.untold }, settle).map_err(|hindrance| {
                let remedy = hindrance.remedy();
                Error::Cache(format!("{}: it stays {now} and does not become {phase}: {remedy}", M::NAME))
            })?;
            if now != phase {
                named.before = Some((now, Instant::now()));
                named.steps += 1;
            }
            named.model = Some(phase);
            named.untold |= phase == Phase::Off;
            Ok(now)
        })?;
        self.switched::<M>("model", before, phase);
        Ok(())
    }

    /// Sets the phase of what `negative` caches, as [`set_phase`](Self::set_phase) that of the model. It has two:
    /// [`WriteOnly`](Phase::WriteOnly), in which writes tell of the keys that they make, and [`On`](Phase::On). One may go back
    /// and forth at any time, while every process has `negative` with the same lookups.
    ///
    /// # Errors
    /// [`Error::Cache`] where the model has no `negative`, and for [`Off`](Phase::Off): that is to leave `negative` out, in a
    /// deploy after the one in which all processes are write-only.
    ///
    /// # Example: the second half of a rollout
    /// ```
    /// use diesel::prelude::*;
    /// use model_runtime::Phase;
    /// use model_runtime::prelude::*;
    ///
    /// diesel::table! { hosts (id) { id -> Integer, name -> Text } }
    ///
    /// #[derive(Queryable, Selectable, SentryModel)]
    /// #[diesel(table_name = hosts)]
    /// #[cache_fields(name, negative = "30s", negative_phase = "write-only")]
    /// struct Host { id: i32, name: String }
    ///
    /// let cache = Cache::memory();
    /// cache.set_negative_phase::<Host>(Phase::On)?;
    /// assert_eq!(cache.negative_phase::<Host>()?, Some(Phase::On));
    /// # Ok::<_, Error>(())
    /// ```
    pub fn set_negative_phase<M: SentryModel>(&self, phase: Phase) -> Result<()> {
        check_negative::<M>(phase)?;
        let before = self.with_named(|named, spec: &CacheSpec<M>| {
            let now = named.negative_phase(spec);
            named.negative = Some(phase);
            Ok(now.unwrap_or(phase))
        })?;
        self.switched::<M>("negative", before, phase);
        Ok(())
    }

    fn switched<M: SentryModel>(&self, what: &'static str, before: Phase, phase: Phase) {
        // Copies are told of writes only while this process tells of its own.
        if let Some(near) = self.0.near.get() {
            near.reset();
        }
        tracing::info!(model = M::NAME, what, %before, %phase, "the cache's phase was set");
    }
}

/// The cache's part in a model.
pub(super) fn spec_of<M: SentryModel>() -> Result<&'static CacheSpec<M>> {
    let missing =
        || Error::Cache(format!("{}: it is not cached and has no phase; give it `#[cache_fields]`", M::NAME));
    M::cache().ok_or_else(missing)
}

/// Whether the absences of a model may be in this phase.
pub(super) fn check_negative<M: SentryModel>(phase: Phase) -> Result<()> {
    let spec = spec_of::<M>()?;
    let refused = match phase {
        _ if spec.negative_ms == 0 => "it has no `negative`, which alone has a phase of its own; add it",
        Phase::Off => "`negative` is write-only or on; to turn it off, leave it out of `#[cache_fields]`",
        Phase::WriteOnly | Phase::On => return Ok(()),
    };
    Err(Error::Cache(format!("{}: {refused}", M::NAME)))
}
