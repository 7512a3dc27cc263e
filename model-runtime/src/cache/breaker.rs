//! Whether the store is asked at all: an outage closes it once, however many batches fail in it, and one batch at a time
//! finds out whether it is over.
//!
//! Each batch carries a pass. What became of it counts only while the state is the one in which the pass was given: of
//! the batches that an outage meets under way, the first failure opens the breaker, and the others change nothing,
//! however late they fail or are answered.

/// How long nobody asks a store that did not answer, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    /// After the failure that began the outage.
    pub(crate) first: u64,
    /// Each probe that fails doubles the pause up to this.
    pub(crate) longest: u64,
    /// How long a probe may stay away before another one is sent: its task may be one that is never polled again.
    pub(crate) probe: u64,
}

/// The right to send one batch; it is given back with what became of it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Pass {
    /// In which state it was given; `None` where its end counts for nothing.
    change: Option<u64>,
    is_probe: bool,
}

impl Pass {
    /// Whether it finds out if the outage is over.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }
}

/// The circuit breaker; times are milliseconds of one clock.
#[derive(Debug)]
pub(crate) struct Breaker {
    pauses: Pauses,
    state: State,
    /// How often the state has changed.
    changes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything is sent.
    Closed,
    /// Nothing is sent before `until_ms`.
    Open { until_ms: u64, pause_ms: u64 },
    /// One batch is under way, nothing else is sent; it is given up at `until_ms`.
    Probing { until_ms: u64, pause_ms: u64 },
}

impl Breaker {
    pub(crate) fn new(pauses: Pauses) -> Self {
        Self { pauses, state: State::Closed, changes: 0 }
    }

    /// The right to send a batch, which is a probe where the pause of an outage is over.
    pub(crate) fn ask(&mut self, now_ms: u64) -> Option<Pass> {
        match self.state {
            State::Closed => Some(Pass { change: Some(self.changes), is_probe: false }),
            State::Open { until_ms, pause_ms } | State::Probing { until_ms, pause_ms } => {
                (now_ms >= until_ms).then(|| self.probe(now_ms, pause_ms))
            }
        }
    }

    /// The same whatever the pause; beside a probe, the end of the batch counts for nothing.
    pub(crate) fn ask_at_once(&mut self, now_ms: u64) -> Pass {
        match self.state {
            State::Open { pause_ms, .. } => self.probe(now_ms, pause_ms),
            _ => self.ask(now_ms).unwrap_or(Pass { change: None, is_probe: false }),
        }
    }

    fn probe(&mut self, now_ms: u64, pause_ms: u64) -> Pass {
        let until_ms = now_ms.saturating_add(self.pauses.probe);
        self.change(State::Probing { until_ms, pause_ms });
        Pass { change: Some(self.changes), is_probe: true }
    }

    /// The batch was answered; returns whether that ends an outage.
    pub(crate) fn answered(&mut self, pass: &Pass) -> bool {
        let ends = self.counts(pass) && matches!(self.state, State::Probing { .. });
        if ends {
            self.change(State::Closed);
        }
        ends
    }

    /// The batch was not answered; returns whether that begins an outage.
    pub(crate) fn failed(&mut self, pass: &Pass, now_ms: u64) -> bool {
        let Pauses { first, longest, .. } = self.pauses;
        let pause_ms = match self.state {
            _ if !self.counts(pass) => return false,
            State::Closed => first,
            State::Probing { pause_ms, .. } | State::Open { pause_ms, .. } => {
                pause_ms.saturating_mul(2).min(longest)
            }
        };
        let begins = self.state == State::Closed;
        self.change(State::Open { until_ms: now_ms.saturating_add(pause_ms), pause_ms });
        begins
    }

    /// Nobody learned what became of the batch: where it was the probe, the next caller sends another.
    pub(crate) fn abandoned(&mut self, pass: &Pass, now_ms: u64) {
        if let State::Probing { pause_ms, .. } = self.state
            && self.counts(pass)
        {
            self.change(State::Open { until_ms: now_ms, pause_ms });
        }
    }

    fn counts(&self, pass: &Pass) -> bool {
        pass.change == Some(self.changes)
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Pauses { first: 100, longest: 400, probe: 3000 })
    }

    /// With an outage that began at 0.
    fn opened() -> Breaker {
        let mut breaker = breaker();
        let pass = breaker.ask(0).unwrap();
        assert!(breaker.failed(&pass, 0), "it begins");
        breaker
    }

    fn is_open_for(breaker: &Breaker, pause: u64) -> bool {
        matches!(breaker.state, State::Open { pause_ms, .. } if pause_ms == pause)
    }

    #[test]
    fn an_outage_that_fails_many_batches_is_counted_once() {
        let mut breaker = breaker();
        let passes: Vec<_> = (0..64).map(|_| breaker.ask(0).unwrap()).collect();
        let begun = (0..64).zip(&passes).filter(|(now, pass)| breaker.failed(pass, *now)).count();
        assert_eq!(begun, 1);
        assert_eq!(breaker.state, State::Open { until_ms: 100, pause_ms: 100 }, "of the first failure alone");
        assert_eq!(breaker.ask(99), None);
    }

    #[test]
    fn there_is_one_probe_at_a_time_and_only_its_failure_lengthens_the_pause() {
        let mut breaker = opened();
        let mut now = 0;
        for pause in [100, 200, 400, 400, 400] {
            assert!(is_open_for(&breaker, pause));
            assert_eq!(breaker.ask(now + pause - 1), None);
            now += pause;
            let probe = breaker.ask(now).unwrap();
            assert!(probe.is_probe());
            assert_eq!((0..63).filter_map(|_| breaker.ask(now)).count(), 0, "the others do not wait for it");
            // It takes a while to fail.
            now += 250;
            assert_eq!(breaker.ask(now), None);
            assert!(!breaker.failed(&probe, now), "the same outage");
        }
        let probe = breaker.ask(now + 400).unwrap();
        assert!(breaker.answered(&probe), "it ends");
        assert!(!breaker.answered(&probe));
        let pass = breaker.ask(now + 400).unwrap();
        assert!(!pass.is_probe());
        assert!(breaker.failed(&pass, now + 400), "the next one");
        assert!(is_open_for(&breaker, 100), "its pause is the first again");
    }

    #[test]
    fn what_was_sent_before_the_outage_neither_lengthens_nor_ends_it() {
        let mut breaker = breaker();
        let [first, late, later, latest] = [(); 4].map(|()| breaker.ask(0).unwrap());
        assert!(breaker.failed(&first, 0));
        assert!(!breaker.answered(&late) && !breaker.failed(&late, 50));
        let probe = breaker.ask(100).unwrap();
        assert!(!breaker.answered(&later) && !breaker.failed(&later, 150));
        breaker.abandoned(&later, 150);
        assert_eq!(breaker.ask(200), None, "the probe is still under way");
        assert!(breaker.answered(&probe));
        assert!(!breaker.failed(&latest, 250), "it fails late, and the store answers by now");
        assert!(breaker.ask(250).is_some());
    }

    #[test]
    fn a_probe_that_is_dropped_is_handed_on() {
        let mut breaker = opened();
        let dropped = breaker.ask(100).unwrap();
        breaker.abandoned(&dropped, 110);
        assert!(is_open_for(&breaker, 100), "it says nothing about the store");
        let next = breaker.ask(110).unwrap();
        assert!(next.is_probe());
        breaker.abandoned(&dropped, 120);
        assert_eq!(breaker.ask(120), None, "the right is handed on once");
        assert!(breaker.answered(&next));
        let pass = breaker.ask(130).unwrap();
        breaker.abandoned(&pass, 130);
        assert_eq!(breaker.state, State::Closed, "other batches may be dropped as they like");
    }

    #[test]
    fn a_probe_that_stays_away_is_overtaken() {
        let mut breaker = opened();
        let stuck = breaker.ask(100).unwrap();
        assert_eq!(breaker.ask(3099), None);
        let next = breaker.ask(3100).unwrap();
        assert!(next.is_probe() && breaker.ask(3100).is_none());
        assert!(!breaker.answered(&stuck), "overtaken");
        assert!(breaker.answered(&next));
    }

    #[test]
    fn the_end_of_a_process_waits_for_no_pause() {
        let mut breaker = opened();
        let probe = breaker.ask_at_once(1);
        assert!(probe.is_probe());
        let beside = breaker.ask_at_once(2);
        assert!(!beside.is_probe() && !breaker.answered(&beside) && !breaker.failed(&beside, 2));
        assert!(breaker.answered(&probe));
    }
}
