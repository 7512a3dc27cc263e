//! The phases of the models of one cache, and the structs that share keys in it.
//!
//! A phase is said by the attribute, by the builder and at run time; the later word counts. The builder and the operator
//! speak of a name in keys, and so of all structs that share it.
use super::codec::CacheSpec;
use super::declared::Declared;
use super::handle::Cache;
use super::phase::{Phase, Rules};
use super::switch::spec_of;
use crate::error::{Error, Result};
use crate::model::SentryModel;
use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Numbers the states of all tables in the process, so that a model knows by one number whether what it keeps is true.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The phases of one cache.
pub(crate) struct Phases {
    /// Of the table as it is now.
    state: AtomicU64,
    /// How many names are silent.
    silent: AtomicUsize,
    table: Mutex<BTreeMap<&'static str, Named>>,
}

/// What is known of one name in keys.
#[derive(Default)]
pub(super) struct Named {
    /// The structs of that name, in the order of their first use.
    structs: Vec<Declared>,
    pub(super) model: Option<Phase>,
    pub(super) negative: Option<Phase>,
    /// The phase before, and when it ended.
    pub(super) before: Option<(Phase, Instant)>,
    /// How many steps there were from one phase to another.
    pub(super) steps: u32,
    /// See [`Past::untold`].
    pub(super) untold: bool,
    /// A struct came whose writes do not tell what the others count on.
    disputed: bool,
}

/// A deletion of all entries of one name, which takes a while.
pub(super) struct Clearing {
    name: &'static str,
    /// The steps before it; `None` where the name was on, so that entries could be filled behind it.
    steps: Option<u32>,
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

    pub(super) fn phase<M: SentryModel>(&self, spec: &CacheSpec<M>) -> Phase {
        self.model.unwrap_or(spec.phase)
    }

    pub(super) fn negative_phase<M: SentryModel>(&self, spec: &CacheSpec<M>) -> Option<Phase> {
        (spec.negative_ms > 0).then(|| self.negative.unwrap_or(spec.negative_phase))
    }

    /// The phase of its structs; `None` before the first of them.
    fn current(&self) -> Option<Phase> {
        self.model.or_else(|| Some(self.structs.first()?.model))
    }

    /// Whether nothing is told of its writes.
    fn is_silent(&self) -> bool {
        self.current().is_some_and(|phase| !Rules::of(phase, None).writes)
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
            table: Mutex::default(),
        }
    }
}

impl Phases {
    fn table(&self) -> MutexGuard<'_, BTreeMap<&'static str, Named>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known of the table holds no more. With the lock held.
    fn changed(&self, table: &BTreeMap<&'static str, Named>) {
        self.silent.store(table.values().filter(|named| named.is_silent()).count(), Ordering::Release);
        self.state.store(NEXT.fetch_add(1, Ordering::Relaxed), Ordering::Release);
    }

    /// The bits of a model, which takes note of them.
    #[inline]
    fn bits<M: SentryModel>(&self, spec: &CacheSpec<M>) -> u64 {
        let known = M::state().known.0.load(Ordering::Acquire);
        match known >> BITS == self.state.load(Ordering::Acquire) {
            true => known,
            false => self.look_up(spec),
        }
    }

    #[cold]
    fn look_up<M: SentryModel>(&self, spec: &CacheSpec<M>) -> u64 {
        let mut table = self.table();
        let named = table.entry(spec.name).or_default();
        let before = named.mark();
        let bits = match named.declare(spec) {
            Ok(()) => packed(named.rules(spec)),
            Err(_) => REFUSED,
        };
        if named.mark() != before {
            self.changed(&table);
        }
        let known = self.state.load(Ordering::Acquire) << BITS | bits;
        M::state().known.0.store(known, Ordering::Release);
        known
    }

    /// The entries of a name are going to be deleted.
    pub(super) fn clearing(&self, name: &'static str) -> Clearing {
        let table = self.table();
        let named = table.get(name).filter(|named| named.current() != Some(Phase::On));
        Clearing { name, steps: named.map(|named| named.steps) }
    }

    /// They were deleted. Where the name was not on meanwhile, nothing was filled behind the deletion.
    pub(super) fn cleared(&self, clearing: &Clearing) {
        if let Some(named) = self.table().get_mut(clearing.name)
            && clearing.steps == Some(named.steps)
        {
            named.untold = false;
        }
    }

    /// What the builder was told.
    pub(super) fn preset(&self, model: Vec<(&'static str, Phase)>, negative: Vec<(&'static str, Phase)>) {
        let mut table = self.table();
        for (name, phase) in model {
            let named = table.entry(name).or_default();
            (named.model, named.untold) = (Some(phase), phase == Phase::Off);
        }
        for (name, phase) in negative {
            table.entry(name).or_default().negative = Some(phase);
        }
        self.changed(&table);
    }
}

impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        f.debug_map()
            .entries(table.iter().filter_map(|(name, named)| Some((name, named.current()?))))
            .finish()
    }
}

/// The phases of models, as sessions ask for them.
impl Cache {
    /// What the builder was told.
    pub(super) fn preset(&self, models: Vec<(&'static str, Phase)>, negative: Vec<(&'static str, Phase)>) {
        self.0.phases.preset(models, negative);
    }

    /// Calls `with` on what is known of the name of `M`.
    pub(super) fn with_named<M, T>(
        &self,
        with: impl FnOnce(&mut Named, &CacheSpec<M>) -> Result<T>,
    ) -> Result<T>
    where
        M: SentryModel,
    {
        let spec = spec_of::<M>()?;
        let mut table = self.0.phases.table();
        let named = table.entry(spec.name).or_default();
        let before = named.mark();
        let done = named.declare(spec).and_then(|()| with(named, spec));
        if named.mark() != before {
            self.0.phases.changed(&table);
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
                self.0.phases.table().entry(spec.name).or_default().declare(spec)
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
        let (table, prefix) = (self.0.phases.table(), self.config().prefix.len() + 1);
        items.retain(|item| {
            let name = key(item).get(prefix..).and_then(|rest| rest.split(':').next());
            name.and_then(|name| table.get(name)).is_none_or(|named| !named.is_silent())
        });
    }
}
