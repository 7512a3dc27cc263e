//! When the documentation allows a stale hit: while a write runs whose intent is gone.
//!
//! An intent is gone when its writer has stood still for longer than it lives, when the store has lost it, or when
//! it never came to stand, as the store was out of reach. From then on another process may be served what the write
//! replaces, until the release; where the release does not come, until the key is next released or written.
use super::INTENT_LIFETIME;
use super::check::History;
use super::event::{Event, TOLD, What};
use super::ledger;

/// Why an intent was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its writer stood still.
    Stopped,
    /// The store lost it.
    Lost,
    /// The store was out of its writer's reach.
    Away,
}

/// A span of time in which one row may be served stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposure {
    /// When the intent was gone.
    pub from: u64,
    /// When the release was answered; never where it was not.
    pub until: u64,
    /// Why.
    pub cause: Cause,
}

/// What one process logged, in its order.
type Process = [Event];

/// A statement whose future was dropped goes on until it ends: no longer than it waits for a lock, and a little more.
const LINGERS: u64 = 300_000_000;

/// The exposures of what a lookup may return.
#[must_use]
pub fn exposures_of(history: &History, register: u8) -> Vec<Exposure> {
    ledger::keys_of(register).flat_map(|key| exposures(history, key)).collect()
}

/// The exposures of a cache key, merged and in order.
#[must_use]
pub fn exposures(history: &History, key: u8) -> Vec<Exposure> {
    let (keys, processes) = (ledger::keys(&history.ledger), &history.processes);
    let mut out = Vec::new();
    for process in processes {
        let died = process.iter().find(|event| event.what == What::Died).map(|event| event.begin);
        let mut threads: Vec<u8> = process.iter().map(|event| event.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        for thread in threads {
            let own = process.iter().filter(|event| event.thread == thread).filter(|event| {
                // What the database does not have exposes nothing.
                let committed = || keys.get(&event.v).is_some_and(|keys| keys.contains(&key));
                if is_of_mark(event.what) { committed() } else { event.row == key }
            });
            for write in writes(own.copied(), died.unwrap_or(u64::MAX)) {
                out.extend(write.exposure(processes, process, &history.losses, key));
            }
        }
    }
    merged(out)
}

fn is_of_mark(what: What) -> bool {
    matches!(what, What::Started | What::Acked | What::RolledBack | What::Refused | What::Unknown)
}

/// One write of one row, as its thread logged it.
#[derive(Debug, Clone, Copy)]
struct Write {
    /// When nothing guards it: from here on, unless an intent stands.
    bare_from: u64,
    /// When the intent was sent that came to stand.
    placed: Option<u64>,
    /// When its release was answered.
    released: Option<u64>,
    /// When it returned, or its process died.
    done: u64,
}

/// The writes of a thread on a row that were committed.
fn writes(events: impl Iterator<Item = Event>, died: u64) -> Vec<Write> {
    let (mut out, mut open) = (Vec::new(), None::<Write>);
    for event in events {
        match (event.what, &mut open) {
            (What::Started, None) => {
                open = Some(Write { bare_from: event.begin, placed: None, released: None, done: died });
            }
            (What::Placed, Some(write)) => (write.placed, write.released) = (Some(event.begin), None),
            (What::PlaceFailed, Some(write)) => (write.bare_from, write.released) = (event.begin, None),
            (What::Released | What::Drained, Some(write)) => write.released = Some(event.end),
            (What::Acked | What::Unknown | What::Refused | What::RolledBack, Some(write)) => {
                let told = event.what == What::Acked && event.detail == TOLD;
                let released = write.released.or(told.then_some(event.begin));
                let lingers = if event.what == What::Acked { 0 } else { LINGERS };
                out.push(Write { done: event.begin + lingers, released, ..*write });
                open = None;
            }
            _ => {}
        }
    }
    out.extend(open);
    out
}

impl Write {
    fn exposure(
        &self,
        processes: &[Vec<Event>],
        own: &Process,
        losses: &[Event],
        key: u8,
    ) -> Option<Exposure> {
        let (from, cause) = match self.placed {
            None => (self.bare_from, Cause::Away),
            Some(placed) => {
                let lost = losses.iter().filter(|loss| loss.end >= placed);
                let lost = lost.map(|loss| (loss.begin.max(placed), Cause::Lost));
                let lifetime = u64::try_from(INTENT_LIFETIME.as_nanos()).unwrap();
                lost.fold((placed + lifetime, Cause::Stopped), Ord::min)
            }
        };
        // What is committed is committed before the writer is done.
        if from >= self.released.unwrap_or(self.done) {
            return None;
        }
        let until = self.released.unwrap_or_else(|| {
            let heals = |event: &&Event| event.row == key && event.begin >= self.done;
            let own = own.iter().filter(heals);
            let own = own.filter(|event| matches!(event.what, What::Drained | What::Released));
            let others = processes.iter().flatten().filter(heals).filter(|event| event.what == What::Placed);
            own.chain(others).map(|event| event.end).min().unwrap_or(u64::MAX)
        });
        Some(Exposure { from, until, cause })
    }
}

fn merged(mut exposures: Vec<Exposure>) -> Vec<Exposure> {
    exposures.sort_unstable();
    let mut out: Vec<Exposure> = Vec::new();
    for next in exposures {
        match out.last_mut() {
            Some(last) if next.from <= last.until => last.until = last.until.max(next.until),
            _ => out.push(next),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ledger::Entry;

    const D: u64 = 500_000_000;

    fn at(what: What, begin: u64, end: u64) -> Event {
        Event { begin, end, ..Event::new(what, 0, 0) }
    }

    /// Of the row that the write of mark 0 hit, if it was committed.
    fn of(process: &[Event], losses: &[Event]) -> Vec<Exposure> {
        let [was_code, was_slug, code] = [None, None, None];
        let slug = Some("row-0".to_owned());
        let ledger = vec![Entry { seq: 1, kind: 0, was_code, was_slug, code, slug, v: 1, mark: 0 }];
        let processes = vec![process.to_vec(), vec![at(What::Placed, 9 * D, 9 * D + 1)]];
        let mut history = History { ledger, processes, losses: losses.to_vec(), ..History::default() };
        let exposed = exposures(&history, 0);
        history.ledger.clear();
        assert_eq!(exposures(&history, 0), [], "nothing was committed");
        exposed
    }

    #[test]
    fn a_write_in_time_exposes_nothing() {
        let quick = [at(What::Started, 1, 1), at(What::Placed, 2, 3), at(What::Released, 4, 5)];
        assert_eq!(of(&[&quick[..], &[at(What::Acked, 6, 6)]].concat(), &[]), []);
    }

    #[test]
    fn a_writer_that_stands_still_exposes_from_the_end_of_its_intent_to_its_release() {
        let slow = [at(What::Started, 1, 1), at(What::Placed, 2, 3), at(What::Released, 2 * D, 2 * D + 1)];
        let slow = [&slow[..], &[at(What::Acked, 3 * D, 3 * D)]].concat();
        assert_eq!(of(&slow, &[]), [Exposure { from: 2 + D, until: 2 * D + 1, cause: Cause::Stopped }]);
    }

    #[test]
    fn an_intent_that_is_lost_exposes_from_the_loss() {
        let write = [at(What::Started, 1, 1), at(What::Placed, 2, 3), at(What::Released, 40, 41)];
        let write = [&write[..], &[at(What::Acked, 42, 42)]].concat();
        assert_eq!(
            of(&write, &[at(What::Lost, 10, 11)]),
            [Exposure { from: 10, until: 41, cause: Cause::Lost }]
        );
        assert_eq!(of(&write, &[at(What::Lost, 0, 1), at(What::Lost, 50, 51)]), []);
    }

    #[test]
    fn a_write_without_intent_exposes_until_its_key_is_released_or_written() {
        let bare = [at(What::Started, 1, 1), at(What::Acked, 5, 5)];
        assert_eq!(of(&bare, &[]), [Exposure { from: 1, until: 9 * D + 1, cause: Cause::Away }]);
        let told = [bare[0], Event { detail: TOLD, ..bare[1] }];
        assert_eq!(of(&told, &[]), [Exposure { from: 1, until: 5, cause: Cause::Away }]);
        let drained = [&bare[..], &[at(What::Drained, 7, 8)]].concat();
        assert_eq!(of(&drained, &[]), [Exposure { from: 1, until: 8, cause: Cause::Away }]);
    }

    #[test]
    fn a_writer_that_dies_before_its_intent_ends_exposes_nothing() {
        let dead = [at(What::Started, 1, 1), at(What::Placed, 2, 3), at(What::Died, 9, 9)];
        assert_eq!(of(&dead, &[]), []);
        assert_eq!(
            of(&dead, &[at(What::Lost, 5, 6)]),
            [Exposure { from: 5, until: 9 * D + 1, cause: Cause::Lost }]
        );
    }
}
