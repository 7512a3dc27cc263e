//! What happens while the store is out of reach: no time-out is paid twice, and no invalidation is lost.
use std::collections::BTreeMap;

/// What becomes of a write while the cache cannot be told of it: `#[cache_fields(outage = "…")]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutagePolicy {
    /// It succeeds, and this process tells the cache later.
    Proceed,
    /// It fails before anything is committed.
    Refuse,
    /// The touched keys are stored in a table in the same transaction, and any process tells the cache.
    Outbox,
}

const FIRST_PAUSE_MS: u64 = 1000;
const LONGEST_PAUSE_MS: u64 = 30_000;
/// How many keys wait for their release.
const MAX_POSTPONED: usize = 65_536;

/// Decides whether a batch is sent; times are milliseconds of one clock.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Nothing is sent before this time.
    closed_until_ms: u64,
    pause_ms: u64,
    /// With the number of the last postponement, so that one that comes during a release is not lost.
    postponed: BTreeMap<String, u64>,
    postponements: u64,
    /// Keys were forgotten: with which postponement. Nothing is believed before the namespace is emptied.
    forgot: Option<u64>,
}

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it.
    Send,
    /// Pay this first; then ask again.
    PayFirst(Debt),
    /// Do not send it: the store is out of reach, or owed more than a caller should wait for.
    Unavailable,
}

/// What the store must be told before it is believed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Debt {
    /// Release these keys.
    Keys {
        keys: Vec<String>,
        /// Up to which postponement that settles them.
        until: u64,
    },
    /// Empty the namespace: more keys were touched than are remembered.
    Everything {
        /// Up to which postponement that settles it.
        until: u64,
    },
}

impl Outage {
    /// What a caller may do; it pays a small debt itself.
    pub(crate) fn verdict(&self, now_ms: u64, chunk: usize) -> Verdict {
        if now_ms < self.closed_until_ms || self.forgot.is_some() || self.postponed.len() > chunk {
            return Verdict::Unavailable;
        }
        self.debt(chunk).map_or(Verdict::Send, Verdict::PayFirst)
    }

    /// What is owed, and may be sent now.
    pub(crate) fn payable(&self, now_ms: u64, chunk: usize) -> Option<Debt> {
        self.debt(chunk).filter(|_| now_ms >= self.closed_until_ms)
    }

    /// The same while nobody else asks the store.
    pub(crate) fn payable_at_once(&self, chunk: usize) -> Option<Debt> {
        self.debt(chunk)
    }

    /// How many keys are owed; `usize::MAX` where they were too many to remember.
    pub(crate) fn owed(&self) -> usize {
        if self.forgot.is_some() { usize::MAX } else { self.postponed.len() }
    }

    fn debt(&self, chunk: usize) -> Option<Debt> {
        match (self.forgot, self.postponed.is_empty()) {
            (Some(until), _) => Some(Debt::Everything { until }),
            (None, true) => None,
            (None, false) => {
                let keys = self.postponed.keys().take(chunk).cloned().collect();
                Some(Debt::Keys { keys, until: self.postponements })
            }
        }
    }

    /// The store did not answer; returns whether it was in reach until now.
    pub(crate) fn failed(&mut self, now_ms: u64) -> bool {
        let first = self.pause_ms == 0;
        self.pause_ms = (self.pause_ms * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
        self.closed_until_ms = now_ms.saturating_add(self.pause_ms);
        first
    }

    /// The store answered; returns whether it was out of reach until now.
    pub(crate) fn answered(&mut self) -> bool {
        self.closed_until_ms = 0;
        std::mem::take(&mut self.pause_ms) > 0
    }

    /// These keys were written, and their release was not sent; returns how many more than are remembered.
    pub(crate) fn postpone(&mut self, keys: &[String]) -> u64 {
        self.postponements += 1;
        let mut dropped = 0;
        for key in keys {
            if self.forgot.is_some() {
                (self.forgot, dropped) = (Some(self.postponements), dropped + 1);
            } else if self.postponed.len() < MAX_POSTPONED || self.postponed.contains_key(key) {
                self.postponed.insert(key.clone(), self.postponements);
            } else {
                (self.forgot, dropped) = (Some(self.postponements), dropped + 1);
            }
        }
        dropped
    }

    /// This was paid; returns how many keys are settled by it, which two may pay at once.
    pub(crate) fn paid(&mut self, debt: &Debt) -> usize {
        let before = self.postponed.len();
        match debt {
            Debt::Keys { keys, until } => {
                for key in keys {
                    if self.postponed.get(key).is_some_and(|number| number <= until) {
                        self.postponed.remove(key);
                    }
                }
            }
            Debt::Everything { until } => {
                self.postponed.retain(|_, number| *number > *until);
                self.forgot = self.forgot.filter(|number| number > until);
            }
        }
        before - self.postponed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: impl IntoIterator<Item = u32>) -> Vec<String> {
        names.into_iter().map(|name| format!("{name:06}")).collect()
    }

    fn debt(outage: &Outage, chunk: usize) -> Debt {
        outage.payable(0, chunk).unwrap()
    }

    #[test]
    fn one_failure_closes_and_the_pause_doubles() {
        let mut outage = Outage::default();
        assert_eq!(outage.verdict(0, 9), Verdict::Send);
        assert!(outage.failed(0));
        assert_eq!(outage.verdict(999, 9), Verdict::Unavailable);
        assert_eq!(outage.verdict(1000, 9), Verdict::Send, "one probe");
        assert!(!outage.failed(1000));
        assert_eq!(outage.verdict(2999, 9), Verdict::Unavailable);
        assert!(outage.answered());
        assert!(!outage.answered());
        assert_eq!(outage.verdict(2999, 9), Verdict::Send);
    }

    #[test]
    fn nothing_is_believed_before_the_debt_is_paid() {
        let mut outage = Outage::default();
        outage.postpone(&keys([1, 2, 1]));
        assert_eq!(outage.owed(), 2);
        assert_eq!(outage.verdict(0, 1), Verdict::Unavailable, "more than a caller should wait for");
        let first = debt(&outage, 1);
        assert_eq!(first, Debt::Keys { keys: keys([1]), until: 1 });
        outage.paid(&first);
        let second = debt(&outage, 9);
        assert_eq!(outage.verdict(0, 1), Verdict::PayFirst(Debt::Keys { keys: keys([2]), until: 1 }));
        outage.paid(&second);
        assert_eq!(outage.verdict(0, 9), Verdict::Send);
        outage.postpone(&keys([3]));
        outage.failed(0);
        assert_eq!((outage.payable(0, 9), outage.owed()), (None, 1), "out of reach");
    }

    #[test]
    fn a_key_written_again_during_its_release_is_released_again() {
        let mut outage = Outage::default();
        outage.postpone(&keys([1]));
        let sent = debt(&outage, 9);
        outage.postpone(&keys([1]));
        outage.paid(&sent);
        assert_eq!(debt(&outage, 9), Debt::Keys { keys: keys([1]), until: 2 });
    }

    #[test]
    fn forgotten_keys_empty_the_namespace_before_anything_is_believed() {
        let mut outage = Outage::default();
        let full = u32::try_from(MAX_POSTPONED).unwrap();
        assert_eq!(outage.postpone(&keys(0..full)), 0);
        assert_eq!(outage.postpone(&keys([full])), 1);
        let sent = debt(&outage, 9);
        assert_eq!((&sent, outage.owed()), (&Debt::Everything { until: 2 }, usize::MAX));
        assert_eq!(outage.verdict(u64::MAX, usize::MAX), Verdict::Unavailable);
        outage.postpone(&keys([full + 1]));
        outage.paid(&sent);
        let again = debt(&outage, 9);
        assert_eq!(again, Debt::Everything { until: 3 }, "one more was forgotten meanwhile");
        outage.paid(&again);
        assert_eq!(outage.verdict(0, 9), Verdict::Send);
    }
}
