//! The phases of the models of one cache, and the structs that share keys in it.
//!
//! A phase is said by the attribute, by the builder and at run time; the later word counts. The builder and the operator
//! speak of a name in keys, and so of all structs that share it.
use super::codec::{CacheSpec, name_of};
use super::handle::Cache;
use super::phase::{Past, Phase, Rules, may_go};
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::model::SentryModel;
use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Numbers the states of all tables in the process, so that a model knows by one number whether what it keeps is true.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The phases of one cache.
pub(crate) struct Phases {
    /// Of the table as it is now.
    state: AtomicU64,
    /// How many names are silent.
    silent: AtomicUsize,
    names: Mutex<BTreeMap<&'static str, Named>>,
}

/// What is known of one name in keys.
#[derive(Default)]
struct Named {
    /// The structs of that name, in the order of their first use.
    structs: Vec<Declared>,
    model: Option<Phase>,
    negative: Option<Phase>,
    /// The phase before, and when it ended.
    before: Option<(Phase, Instant)>,
    /// See [`Past::untold`].
    untold: bool,
    /// A struct came whose writes do not tell what the others count on.
    disputed: bool,
}

/// What a struct says in its attribute.
struct Declared {
    id: TypeId,
    path: &'static str,
    model: Phase,
    negative: Option<Phase>,
    /// The fields of the primary key.
    primary: Vec<&'static str>,
    /// The keys whose absence is cached, each with its fields and their normal forms.
    absent: BTreeSet<Vec<(&'static str, Option<&'static str>)>>,
}

impl Declared {
    fn of<M: SentryModel>(spec: &CacheSpec<M>) -> Self {
        let negative = (spec.negative_ms > 0).then_some(spec.negative_phase);
        let key = |names: &[&'static str], functions: &[Option<&'static str>]| {
            let mut key: Vec<_> = names.iter().copied().zip(functions.iter().copied()).collect();
            key.sort_unstable();
            key
        };
        let lookups = spec.lookups.iter().filter(|_| negative.is_some());
        Self {
            id: TypeId::of::<M>(),
            path: type_name::<M>(),
            model: spec.phase,
            negative,
            primary: M::Pk::INDEXES.iter().filter_map(|index| M::FIELDS.get(*index).copied()).collect(),
            absent: lookups.map(|lookup| key(lookup.names, lookup.functions)).collect(),
        }
    }

    /// Why the writes of one of them do not tell what the other counts on.
    fn disagreement(&self, other: &Self) -> Option<String> {
        let (path, others) = (self.path, other.path);
        if self.primary != other.primary {
            return Some(format!("`{others}` has another primary key than `{path}`; make it the same"));
        }
        if self.model != other.model {
            let (phase, other) = (self.model, other.model);
            return Some(format!(
                "`{others}` is {other} and `{path}` is {phase}; give both the same `phase`"
            ));
        }
        let (with, without) = match (self.negative, other.negative) {
            (Some(_), None) => (path, others),
            (None, Some(_)) => (others, path),
            _ if self.absent == other.absent => return None,
            _ => {
                return Some(format!(
                    "`{others}` has `negative` with other lookups than `{path}`; list the same in both"
                ));
            }
        };
        Some(format!("`{with}` has `negative` and `{without}` has not; give it to both, or to none"))
    }
}

impl Named {
    fn declared<M: SentryModel>(&self) -> Option<&Declared> {
        self.structs.iter().find(|declared| declared.id == TypeId::of::<M>())
    }

    /// Takes note of a struct; the error names the one that it disagrees with.
    fn declare<M: SentryModel>(&mut self, spec: &CacheSpec<M>) -> Result<()> {
        if self.declared::<M>().is_some() {
            return Ok(());
        }
        let declared = Declared::of(spec);
        if let Some(reason) = self.structs.first().and_then(|first| first.disagreement(&declared)) {
            // Others may be at work with the same two structs: what is known as absent is not believed any more.
            self.disputed = true;
            return Err(Error::Cache(format!(
                "{}: two structs share the keys of `{}`, so that each must tell the cache what the other counts on, but \
                 {reason}, or give one of them another `name`",
                M::NAME,
                spec.name
            )));
        }
        self.untold |= self.model.unwrap_or(declared.model) == Phase::Off;
        self.structs.push(declared);
        Ok(())
    }

    fn phase<M: SentryModel>(&self, spec: &CacheSpec<M>) -> Phase {
        self.model.unwrap_or(spec.phase)
    }

    fn negative_phase<M: SentryModel>(&self, spec: &CacheSpec<M>) -> Option<Phase> {
        (spec.negative_ms > 0).then(|| self.negative.unwrap_or(spec.negative_phase))
    }

    /// Whether nothing is told of its writes.
    fn is_silent(&self) -> bool {
        let phase = self.model.or_else(|| Some(self.structs.first()?.model));
        phase.is_some_and(|phase| !Rules::of(phase, None).writes)
    }

    /// Differs where the rules of a struct may differ.
    fn mark(&self) -> (usize, bool, Option<Phase>, Option<Phase>) {
        (self.structs.len(), self.disputed, self.model, self.negative)
    }

    fn rules<M: SentryModel>(&self, spec: &CacheSpec<M>) -> Rules {
        let negative = self.negative_phase(spec).filter(|_| !self.disputed);
        Rules::of(self.phase(spec), negative)
    }
}

/// A state and what holds of one model in it, in one number: so that a call learns it without a lock.
#[derive(Debug, Default)]
pub(crate) struct Known(AtomicU64);

const REFUSED: u64 = 1;
const READS: u64 = 2;
const ABSENCES: u64 = 4;
const WRITES: u64 = 8;
const BITS: u32 = 8;

impl Known {
    pub(crate) const fn nothing() -> Self {
        Self(AtomicU64::new(0))
    }
}

fn packed(rules: Rules) -> u64 {
    let bit = |is_set: bool, bit| if is_set { bit } else { 0 };
    bit(rules.reads, READS) | bit(rules.absences, ABSENCES) | bit(rules.writes, WRITES)
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            state: AtomicU64::new(NEXT.fetch_add(1, Ordering::Relaxed)),
            silent: AtomicUsize::new(0),
            names: Mutex::default(),
        }
    }
}

impl Phases {
    fn names(&self) -> MutexGuard<'_, BTreeMap<&'static str, Named>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known of the table holds no more. With the lock held.
    fn changed(&self, names: &BTreeMap<&'static str, Named>) {
        self.silent.store(names.values().filter(|named| named.is_silent()).count(), Ordering::Release);
        self.state.store(NEXT.fetch_add(1, Ordering::Relaxed), Ordering::Release);
    }

    /// The bits of a model, which takes note of them.
    fn bits<M: SentryModel>(&self, spec: &CacheSpec<M>) -> u64 {
        let known = M::state().known.0.load(Ordering::Acquire);
        match known >> BITS == self.state.load(Ordering::Acquire) {
            true => known,
            false => self.look_up(spec),
        }
    }

    fn look_up<M: SentryModel>(&self, spec: &CacheSpec<M>) -> u64 {
        let mut names = self.names();
        let named = names.entry(spec.name).or_default();
        let before = named.mark();
        let bits = match named.declare(spec) {
            Ok(()) => packed(named.rules(spec)),
            Err(_) => REFUSED,
        };
        if named.mark() != before {
            self.changed(&names);
        }
        let known = self.state.load(Ordering::Acquire) << BITS | bits;
        M::state().known.0.store(known, Ordering::Release);
        known
    }

    /// The entries of a name were deleted. Nothing was filled since, where it is not on.
    pub(super) fn cleared(&self, name: &'static str) {
        if let Some(named) = self.names().get_mut(name) {
            named.untold = false;
        }
    }

    /// What the builder was told.
    pub(super) fn preset(&self, model: Vec<(&'static str, Phase)>, negative: Vec<(&'static str, Phase)>) {
        let mut names = self.names();
        for (name, phase) in model {
            let named = names.entry(name).or_default();
            (named.model, named.untold) = (Some(phase), phase == Phase::Off);
        }
        for (name, phase) in negative {
            names.entry(name).or_default().negative = Some(phase);
        }
        self.changed(&names);
    }
}

impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        let phase = |named: &Named| named.model.or_else(|| Some(named.structs.first()?.model));
        f.debug_map().entries(names.iter().filter_map(|(name, named)| Some((name, phase(named)?)))).finish()
    }
}

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

    /// What the builder was told.
    pub(super) fn preset(&self, models: Vec<(&'static str, Phase)>, negative: Vec<(&'static str, Phase)>) {
        self.0.phases.preset(models, negative);
    }

    fn switched<M: SentryModel>(&self, what: &'static str, before: Phase, phase: Phase) {
        // Copies are told of writes only while this process tells of its own.
        if let Some(near) = self.0.near.get() {
            near.reset();
        }
        tracing::info!(model = M::NAME, what, %before, %phase, "the cache's phase was set");
    }

    /// Calls `with` on what is known of the name of `M`.
    fn with_named<M, T>(&self, with: impl FnOnce(&mut Named, &CacheSpec<M>) -> Result<T>) -> Result<T>
    where
        M: SentryModel,
    {
        let spec = spec_of::<M>()?;
        let mut names = self.0.phases.names();
        let named = names.entry(spec.name).or_default();
        let before = named.mark();
        let done = named.declare(spec).and_then(|()| with(named, spec));
        if named.mark() != before {
            self.0.phases.changed(&names);
        }
        done
    }

    /// What this process does with the entries of `M`.
    pub(crate) fn rules<M: SentryModel>(&self, spec: &CacheSpec<M>) -> Rules {
        let bits = self.0.phases.bits(spec);
        Rules { reads: bits & READS != 0, absences: bits & ABSENCES != 0, writes: bits & WRITES != 0 }
    }

    /// Whether `M` may be used with this cache; asked before anything is read or written.
    ///
    /// # Errors
    /// [`Error::Cache`] where another struct of the same `name` was here before, and one of the two does not tell the cache
    /// what the other counts on. The one that came first is not disturbed: nothing that the second would write goes untold.
    pub(crate) fn admit<M: SentryModel>(&self) -> Result<()> {
        match M::cache() {
            Some(spec) if self.0.phases.bits(spec) & REFUSED != 0 => {
                self.0.phases.names().entry(spec.name).or_default().declare(spec)
            }
            _ => Ok(()),
        }
    }

    /// Without the keys of models that are off.
    pub(crate) fn told(&self, mut keys: Vec<String>) -> Vec<String> {
        self.retain_told(&mut keys, |key| key);
        keys
    }

    /// The same of anything that has a key.
    pub(crate) fn retain_told<T>(&self, items: &mut Vec<T>, key: impl Fn(&T) -> &str) {
        if self.0.phases.silent.load(Ordering::Acquire) == 0 || items.is_empty() {
            return;
        }
        let (names, prefix) = (self.0.phases.names(), self.config().prefix.len() + 1);
        items.retain(|item| {
            let name = key(item).get(prefix..).and_then(|rest| rest.split(':').next());
            name.and_then(|name| names.get(name)).is_none_or(|named| !named.is_silent())
        });
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
    Err(Error::Cache(format!("{}: {refused}", name_of::<M>())))
}
