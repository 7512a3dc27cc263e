//! What happens while the store is out of reach: no time-out is paid twice, and no invalidation is lost.
use std::collections::BTreeMap;

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
    /// Until then no row may be believed: keys were forgotten, and rows filled before may be stale.
    distrust_until_ms: u64,
    longest_ttl_ms: u64,
}

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it.
    Send,
    /// Release these keys first; then ask again.
    DrainFirst(Owed),
    /// Do not send it: the store is out of reach.
    Unavailable,
}

/// Keys to release, and up to which postponement that settles them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) keys: Vec<String>,
    until: u64,
}

impl Outage {
    pub(crate) fn verdict(&self, now_ms: u64, chunk: usize) -> Verdict {
        if now_ms < self.closed_until_ms || now_ms < self.distrust_until_ms {
            return Verdict::Unavailable;
        }
        match self.postponed.is_empty() {
            true => Verdict::Send,
            false => Verdict::DrainFirst(Owed {
                keys: self.postponed.keys().take(chunk).cloned().collect(),
                until: self.postponements,
            }),
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

    /// These keys were written, and their release was not sent.
    pub(crate) fn postpone(&mut self, keys: impl IntoIterator<Item = String>, now_ms: u64) {
        self.postponements += 1;
        for key in keys {
            if self.postponed.len() < MAX_POSTPONED || self.postponed.contains_key(&key) {
                self.postponed.insert(key, self.postponements);
            } else {
                self.distrust_until_ms =
                    self.distrust_until_ms.max(now_ms.saturating_add(self.longest_ttl_ms));
            }
        }
    }

    /// These keys were released.
    pub(crate) fn drained(&mut self, owed: &Owed) {
        for key in &owed.keys {
            if self.postponed.get(key).is_some_and(|number| *number <= owed.until) {
                self.postponed.remove(key);
            }
        }
    }

    /// A row was filled that may stay this long.
    pub(crate) fn filled(&mut self, ttl_ms: u64) {
        self.longest_ttl_ms = self.longest_ttl_ms.max(ttl_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(outage: &Outage, chunk: usize) -> Owed {
        match outage.verdict(0, chunk) {
            Verdict::DrainFirst(owed) => owed,
            other => panic!("{other:?}"),
        }
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
    fn nothing_is_believed_before_the_queue_is_drained() {
        let mut outage = Outage::default();
        outage.postpone(["a".into(), "b".into(), "a".into()], 0);
        let first = owed(&outage, 1);
        assert_eq!(first.keys, ["a"]);
        outage.drained(&first);
        let second = owed(&outage, 9);
        assert_eq!(second.keys, ["b"]);
        outage.drained(&second);
        assert_eq!(outage.verdict(0, 9), Verdict::Send);
    }

    #[test]
    fn a_key_written_again_during_its_release_is_released_again() {
        let mut outage = Outage::default();
        outage.postpone(["a".into()], 0);
        let sent = owed(&outage, 9);
        outage.postpone(["a".into()], 0);
        outage.drained(&sent);
        assert_eq!(owed(&outage, 9).keys, ["a"]);
    }

    #[test]
    fn forgotten_keys_mean_distrust_until_every_row_has_expired() {
        let mut outage = Outage::default();
        outage.filled(5000);
        outage.postpone((0..MAX_POSTPONED).map(|n| n.to_string()), 100);
        let all = owed(&outage, usize::MAX);
        outage.postpone(["one too many".into()], 100);
        outage.drained(&all);
        assert_eq!(outage.verdict(5099, 9), Verdict::Unavailable);
        assert_eq!(outage.verdict(5100, 9), Verdict::Send);
    }
}
