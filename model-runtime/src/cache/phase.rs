//! How far the cache of a model is turned on, and what follows from it: pure decisions.
//!
//! Whoever serves or fills an entry counts on every writer: one that announces nothing, in any process, leaves the entry
//! stale. So a cache is turned on in two steps, all writers first, and off in the reverse order.
use std::fmt;
use std::time::Duration;

/// How far the cache of a model is turned on in this process.
///
/// One process may read from the cache only while every process that writes the rows tells it of each write. So a cache is
/// turned on in two steps, [`WriteOnly`](Self::WriteOnly) everywhere and then [`On`](Self::On), and off in the reverse order.
///
/// # Example: a process that was deployed write-only is turned on
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
/// use model_runtime::Phase;
///
/// # fn main() -> Result<(), Error> {
/// let cache = Cache::builder().memory().phase::<Project>(Phase::WriteOnly).build()?;
/// cache.set_phase::<Project>(Phase::On)?;
/// assert_eq!(cache.phase::<Project>()?, Phase::On);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The cache is neither asked nor told: as without `#[cache_fields]`. Safe only while no process is [`On`](Self::On).
    Off,
    /// Writes tell the cache; lookups are answered by the database, and fill nothing. Safe beside every other phase, but
    /// that rows which others write in [`Off`](Self::Off) are not told of.
    WriteOnly,
    /// Writes tell the cache, and lookups use it. Safe only while no process is [`Off`](Self::Off).
    On,
}

impl Phase {
    /// As attributes spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::WriteOnly => "write-only",
            Self::On => "on",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What this process does with the entries of a model.
///
/// Which keys a write announces is no question of the phase: with `negative` also those that it makes, or none at all where
/// `writes` is false. Copies near their readers are kept and served while `reads` holds; what ends them are intents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Rows are served and filled.
    pub(crate) reads: bool,
    /// That a row does not exist is served and filled.
    pub(crate) absences: bool,
    /// Intents are placed and released.
    pub(crate) writes: bool,
}

impl Rules {
    /// For the phase of the model and that of its absences, which is `None` where they are not cached.
    pub(crate) fn of(model: Phase, negative: Option<Phase>) -> Self {
        let reads = model == Phase::On;
        Self { reads, absences: reads && negative == Some(Phase::On), writes: model != Phase::Off }
    }
}

/// How a process came to the phase of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Past {
    /// The phase before, and for how long it has been over; `None` where the process began with this one.
    pub(crate) before: Option<(Phase, Duration)>,
    /// Rows may have been written that the store was not told of, since its entries were last deleted.
    pub(crate) untold: bool,
}

/// Why a process may not go from one phase to another now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// Write-only lies between.
    Jump,
    /// What began before the last step may still be at work, for so long.
    Unsettled(Duration),
    /// Entries may be stale.
    Untold,
}

impl Hindrance {
    pub(crate) fn remedy(self) -> String {
        match self {
            Self::Jump => "go by way of write-only, in every process".to_owned(),
            Self::Unsettled(left) => {
                format!("what began in the phase before may still be at work; wait {left:?} more")
            }
            Self::Untold => {
                "rows were written that the cache was not told of; call `clear` before".to_owned()
            }
        }
    }
}

/// Whether a process may go from phase `now` to phase `to`; within `settle` everything ends that began before a step.
///
/// A write that began in `Off` has placed no intents, so that nobody may read until it has ended. A lookup that began in
/// `On` may hold a lease, so that every write must tell of itself until that lookup has ended. Between write-only and on
/// one may go back and forth at any time.
pub(crate) fn may_go(now: Phase, to: Phase, past: Past, settle: Duration) -> Result<(), Hindrance> {
    match (now, to) {
        (Phase::Off, Phase::On) | (Phase::On, Phase::Off) => return Err(Hindrance::Jump),
        (Phase::WriteOnly, Phase::Off | Phase::On) => {}
        _ => return Ok(()),
    }
    if let Some((before, over_for)) = past.before
        && before != to
        && over_for < settle
    {
        return Err(Hindrance::Unsettled(settle.saturating_sub(over_for)));
    }
    match past.untold && to == Phase::On {
        true => Err(Hindrance::Untold),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{Off, On, WriteOnly};
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);
    const SOON: Duration = Duration::from_secs(4);
    const REST: Duration = Duration::from_secs(6);

    fn go(now: Phase, to: Phase, before: Option<(Phase, Duration)>) -> Result<(), Hindrance> {
        may_go(now, to, Past { before, untold: false }, SETTLE)
    }

    #[test]
    fn who_reads_also_writes_and_nobody_reads_before() {
        let rules = |reads, absences, writes| Rules { reads, absences, writes };
        for negative in [None, Some(WriteOnly), Some(On)] {
            assert_eq!(Rules::of(Off, negative), rules(false, false, false));
            assert_eq!(Rules::of(WriteOnly, negative), rules(false, false, true));
            assert_eq!(Rules::of(On, negative), rules(true, negative == Some(On), true));
        }
    }

    #[test]
    fn between_off_and_on_lies_write_only() {
        assert_eq!(go(Off, On, None), Err(Hindrance::Jump));
        assert_eq!(go(On, Off, None), Err(Hindrance::Jump));
        for (now, to) in [(Off, WriteOnly), (WriteOnly, Off), (WriteOnly, On), (On, WriteOnly), (On, On)] {
            assert_eq!(go(now, to, None), Ok(()), "{now} to {to}");
        }
    }

    #[test]
    fn on_through_write_only_takes_as_long_as_what_was_under_way_and_back_takes_no_time() {
        for (before, to) in [(Off, On), (On, Off)] {
            assert_eq!(go(WriteOnly, to, Some((before, SOON))), Err(Hindrance::Unsettled(REST)));
            assert_eq!(go(WriteOnly, to, Some((before, SETTLE))), Ok(()));
            assert_eq!(go(WriteOnly, before, Some((before, SOON))), Ok(()));
        }
    }

    #[test]
    fn entries_that_writes_did_not_tell_of_are_deleted_first() {
        let past = Past { before: None, untold: true };
        assert_eq!(may_go(WriteOnly, On, past, SETTLE), Err(Hindrance::Untold));
        assert_eq!(may_go(WriteOnly, Off, past, SETTLE), Ok(()));
    }
}
