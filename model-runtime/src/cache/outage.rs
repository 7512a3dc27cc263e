//! What happens while the store is out of reach: no time-out is paid twice, and no invalidation is lost.
use super::breaker::{Breaker, Pass, Pauses};
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

/// How many keys wait for their release.
const MAX_POSTPONED: usize = 65_536;

/// Decides whether a batch is sent; times are milliseconds of one clock.
#[derive(Debug)]
pub(crate) struct Outage {
    breaker: Breaker,
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
    Send(Pass),
    /// Pay this first; then ask again.
    PayFirst(Debt, Pass),
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
    pub(crate) fn new(pauses: Pauses) -> Self {
        Self { breaker: Breaker::new(pauses), postponed: BTreeMap::new(), postponements: 0, forgot: None }
    }

    /// What a caller may do; it pays a small debt itself.
    pub(crate) fn verdict(&mut self, now_ms: u64, chunk: usize) -> Verdict {
        if self.forgot.is_some() || self.postponed.len() > chunk {
            return Verdict::Unavailable;
        }
        match (self.breaker.ask(now_ms), self.debt(chunk)) {
            (None, _) => Verdict::Unavailable,
            (Some(pass), None) => Verdict::Send(pass),
            (Some(pass), Some(debt)) => Verdict::PayFirst(debt, pass),
        }
    }

    /// Whether part of what is owed may be sent now.
    pub(crate) fn may_pay(&mut self, now_ms: u64) -> Option<Pass> {
        self.breaker.ask(now_ms)
    }

    /// The same while nobody else asks the store.
    pub(crate) fn may_pay_at_once(&mut self, now_ms: u64) -> Pass {
        self.breaker.ask_at_once(now_ms)
    }

    /// How many keys are owed; `usize::MAX` where they were too many to remember.
    pub(crate) fn owed(&self) -> usize {
        if self.forgot.is_some() { usize::MAX } else { self.postponed.len() }
    }

    /// The next part of what is owed.
    pub(crate) fn debt(&self, chunk: usize) -> Option<Debt> {
        match (self.forgot, self.postponed.is_empty()) {
            (Some(until), _) => Some(Debt::Everything { until }),
            (None, true) => None,
            (None, false) => {
                let keys = self.postponed.keys().take(chunk).cloned().collect();
                Some(Debt::Keys { keys, until: self.postponements })
            }
        }
    }

    /// The batch was not answered; returns whether that begins an outage.
    pub(crate) fn failed(&mut self, pass: &Pass, now_ms: u64) -> bool {
        self.breaker.failed(pass, now_ms)
    }

    /// The batch was answered; returns whether that ends an outage.
    pub(crate) fn answered(&mut self, pass: &Pass) -> bool {
        self.breaker.answered(pass)
    }

    /// Nobody learned what became of the batch.
    pub(crate) fn abandoned(&mut self, pass: &Pass, now_ms: u64) {
        self.breaker.abandoned(pass, now_ms);
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

    fn outage() -> Outage {
        Outage::new(Pauses { first: 100, longest: 400, probe: 3000 })
    }

    fn debt(outage: &Outage, chunk: usize) -> Debt {
        outage.debt(chunk).unwrap()
    }

    fn is_sent(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Send(_))
    }

    #[test]
    fn nothing_is_believed_before_the_debt_is_paid() {
        let mut outage = outage();
        outage.postpone(&keys([1, 2, 1]));
        assert_eq!(outage.owed(), 2);
        assert_eq!(outage.verdict(0, 1), Verdict::Unavailable, "more than a caller should wait for");
        let first = debt(&outage, 1);
        assert_eq!(first, Debt::Keys { keys: keys([1]), until: 1 });
        outage.paid(&first);
        let Verdict::PayFirst(second, _) = outage.verdict(0, 1) else { panic!() };
        assert_eq!(second, Debt::Keys { keys: keys([2]), until: 1 });
        outage.paid(&second);
        assert!(is_sent(&outage.verdict(0, 9)));
    }

    #[test]
    fn the_probe_pays_what_is_owed_before_others_are_let_in() {
        let mut outage = outage();
        let Verdict::Send(pass) = outage.verdict(0, 9) else { panic!() };
        outage.postpone(&keys([1]));
        assert!(outage.failed(&pass, 0));
        assert_eq!(outage.may_pay(99), None, "out of reach");
        assert_eq!(outage.verdict(99, 9), Verdict::Unavailable);
        let Verdict::PayFirst(debt, probe) = outage.verdict(100, 9) else { panic!() };
        assert!(probe.is_probe());
        assert_eq!((outage.may_pay(100), outage.verdict(100, 9)), (None, Verdict::Unavailable), "one probe");
        assert!(outage.answered(&probe));
        assert_eq!(outage.paid(&debt), 1);
        assert!(is_sent(&outage.verdict(100, 9)));
    }

    #[test]
    fn a_key_written_again_during_its_release_is_released_again() {
        let mut outage = outage();
        outage.postpone(&keys([1]));
        let sent = debt(&outage, 9);
        outage.postpone(&keys([1]));
        outage.paid(&sent);
        assert_eq!(debt(&outage, 9), Debt::Keys { keys: keys([1]), until: 2 });
    }

    #[test]
    fn forgotten_keys_empty_the_namespace_before_anything_is_believed() {
        let mut outage = outage();
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
        assert!(is_sent(&outage.verdict(0, 9)));
    }
}
