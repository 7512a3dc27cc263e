//! What a read may return, and what a write must have left. Pure: a history in, findings out.
//!
//! The ledger tells in which order the values of each lookup were committed. *Own writes*: a read returns at least the
//! newest value whose write had returned before the read began. *Strong*: at least the newest that any read had returned
//! before it began. And at most one whose write had started before it ended, and that was committed.
use super::event::{Event, What};
use super::exposure::{Cause, Exposure, exposures};
use super::ledger::{self, Dispute, Entry, KEYS, Version, Write};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// Everything that was logged.
#[derive(Debug, Default)]
pub struct History {
    /// What each lookup returned before the first write.
    pub initial: Vec<i64>,
    /// What each process logged, in its order.
    pub processes: Vec<Vec<Event>>,
    /// What the driver did to the store.
    pub losses: Vec<Event>,
    /// What the database's triggers logged.
    pub ledger: Vec<Entry>,
}

/// Which promise a read breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A write that had returned is not in it.
    OwnWrites,
    /// What another read had returned is not in it.
    Strong,
    /// It holds a write that had not begun, or that was not committed.
    NotWritten,
    /// It is another row than was asked for.
    Misread,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnWrites => "a write that had returned is not in it",
            Self::Strong => "a value that had been read is not in it",
            Self::NotWritten => "it holds a write that had not begun, or was not committed",
            Self::Misread => "it is another row than was asked for",
        })
    }
}

/// A read that breaks a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub broken: Broken,
    /// By its place in the list.
    pub process: usize,
    /// The read.
    pub read: Event,
    /// What it had to return at least.
    pub bound: Option<i64>,
    /// Since when a newer value was known.
    pub since: u64,
    /// Why the documentation allows it, if it does.
    pub excuse: Option<Cause>,
}

impl Finding {
    /// For how long a newer value had been known when the read began.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.read.begin.saturating_sub(self.since)
    }
}

/// What is wrong with a history.
#[derive(Debug, Default)]
pub struct Findings {
    /// Reads that break a promise, excused or not.
    pub reads: Vec<Finding>,
    /// Writes that were lost, or that nobody was told of.
    pub writes: Vec<Dispute>,
}

/// Times with the highest place until each.
struct Heights(Vec<(u64, usize)>);

impl Heights {
    fn new(mut points: Vec<(u64, usize)>) -> Self {
        points.sort_unstable();
        let mut highest = 0;
        for (_, place) in &mut points {
            highest = highest.max(*place);
            *place = highest;
        }
        Self(points)
    }

    /// The highest place before the time.
    fn before(&self, time: u64) -> Option<usize> {
        let index = self.0.partition_point(|(at, _)| *at < time);
        index.checked_sub(1).map(|index| self.0[index].1)
    }

    /// When a place above this one was first there.
    fn above(&self, place: usize) -> Option<u64> {
        self.0.get(self.0.partition_point(|(_, highest)| *highest <= place)).map(|(at, _)| *at)
    }
}

/// Everything that is wrong.
#[must_use]
pub fn check(history: &History) -> Findings {
    let writes = ledger::writes(history.processes.iter().flatten().copied());
    let exposed: Vec<Vec<Exposure>> = (0..KEYS).map(|key| exposures(history, key)).collect();
    let registers = ledger::registers(&history.initial, &history.ledger);
    let mut reads = misreads(history);
    for (register, versions) in (0..).zip(registers) {
        let keys = ledger::keys_of(register).flat_map(|key| exposed[usize::from(key)].iter().copied());
        let exposed: Vec<Exposure> = keys.collect();
        reads.extend(Register::new(versions, &writes).check(history, register, &exposed));
    }
    Findings { reads, writes: ledger::disputes(&writes, &history.ledger) }
}

fn misreads(history: &History) -> Vec<Finding> {
    let mut out = Vec::new();
    for (process, log) in history.processes.iter().enumerate() {
        for read in log.iter().filter(|event| event.what == What::Misread) {
            let (broken, since) = (Broken::Misread, read.begin);
            out.push(Finding { broken, process, read: *read, bound: None, since, excuse: None });
        }
    }
    out
}

/// What one lookup could return.
struct Register {
    versions: Vec<Version>,
    /// Of each value: several where the key was absent several times, or a write was repeated.
    places: HashMap<i64, Vec<usize>>,
    /// When the write of each version began, and when it had returned.
    started: Vec<u64>,
    acked: Heights,
}

impl Register {
    fn new(versions: Vec<Version>, writes: &HashMap<i64, Write>) -> Self {
        let (mut places, mut acked) = (HashMap::<i64, Vec<usize>>::new(), vec![(0, 0)]);
        for (place, version) in versions.iter().enumerate() {
            places.entry(version.v).or_default().push(place);
            if let Some(Write { said: Some((What::Acked, at)), .. }) = writes.get(&version.mark) {
                acked.push((*at, place));
            }
        }
        let started = |version: &Version| writes.get(&version.mark).map_or(0, |write| write.started);
        let started = versions.iter().map(started).collect();
        Self { versions, places, started, acked: Heights::new(acked) }
    }

    /// The place of what a read returned, the newest that it can be; `None` where it was never there.
    fn place(&self, read: &Event) -> Option<usize> {
        let begun = |place: &&usize| self.started[**place] < read.end;
        self.places.get(&read.v)?.iter().rev().find(begun).copied()
    }

    fn check(&self, history: &History, register: u8, exposed: &[Exposure]) -> Vec<Finding> {
        let of_register = |event: &&Event| event.what == What::Read && event.row == register;
        let reads = || {
            let processes = history.processes.iter().enumerate();
            processes.flat_map(|(at, log)| log.iter().filter(of_register).map(move |read| (at, read)))
        };
        // Of several places nobody can say which one was seen.
        let seen = reads().filter_map(|(_, read)| Some((read.end, *self.places.get(&read.v)?.first()?)));
        let known = Heights::new(seen.chain(self.acked.0.iter().copied()).collect());
        let mut out = Vec::new();
        for (process, read) in reads() {
            let Some(place) = self.place(read) else {
                let (broken, since) = (Broken::NotWritten, read.end);
                out.push(Finding { broken, process, read: *read, bound: None, since, excuse: None });
                continue;
            };
            let least = [(Broken::OwnWrites, &self.acked), (Broken::Strong, &known)];
            out.extend(least.into_iter().find_map(|(broken, heights)| {
                let bound = heights.before(read.begin).filter(|bound| *bound > place)?;
                let since = known.above(place)?;
                let excuse = excuse(exposed, since, read.begin);
                let bound = Some(self.versions[bound].v);
                Some(Finding { broken, process, read: *read, bound, since, excuse })
            }));
        }
        out
    }
}

/// Why the row was exposed from the newer value to the read.
fn excuse(exposed: &[Exposure], since: u64, begin: u64) -> Option<Cause> {
    let spans = |span: &&Exposure| span.from <= since && begin <= span.until;
    exposed.iter().find(spans).map(|span| span.cause)
}

/// What happened between two moments to what a lookup may return, and to the writes of these marks; in order.
#[must_use]
pub fn around(history: &History, register: u8, marks: &[i64], times: Range<u64>) -> Vec<(usize, Event)> {
    let keys = ledger::keys_of(register);
    let concerns = |event: &&Event| match event.what {
        What::Started | What::Acked | What::RolledBack | What::Refused | What::Unknown => {
            marks.contains(&event.v)
        }
        What::Read | What::Misread | What::Tried | What::Looked => false,
        _ => event.row == u8::MAX || keys.contains(&event.row),
    };
    let concerns = |event: &&Event| times.contains(&event.begin) && concerns(event);
    let mut out: Vec<(usize, Event)> = Vec::new();
    for (process, log) in history.processes.iter().enumerate() {
        out.extend(log.iter().filter(concerns).map(|event| (process, *event)));
    }
    let losses = history.losses.iter().filter(|event| times.contains(&event.begin));
    out.extend(losses.map(|event| (usize::MAX, *event)));
    out.sort_by_key(|(_, event)| event.begin);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ledger::{ABSENT, REGISTERS};

    fn read(v: i64, begin: u64, end: u64) -> Event {
        Event { v, begin, end, count: 1, ..Event::new(What::Read, 0, 0) }
    }

    fn write(what: What, v: i64, at: u64) -> Event {
        Event { v, begin: at, end: at, count: 1, ..Event::new(what, 0, 0) }
    }

    fn found(processes: &[&[Event]], losses: &[Event], committed: &[i64]) -> Vec<(Broken, bool)> {
        let processes = processes.iter().map(|log| log.to_vec()).collect();
        let entry = |v: &i64| Entry {
            seq: 0,
            kind: 0,
            was_code: None,
            was_slug: None,
            code: None,
            slug: Some("row-0".into()),
            v: *v,
            mark: 100 + *v,
        };
        let ledger = committed.iter().map(entry).collect();
        let initial = vec![7; REGISTERS.into()];
        let history = History { initial, processes, losses: losses.to_vec(), ledger };
        let findings = check(&history).reads;
        findings.iter().map(|finding| (finding.broken, finding.excuse.is_some())).collect()
    }

    /// A guarded write of 8 that starts at 10 and returns at 20.
    fn writer() -> [Event; 4] {
        let [placed, released] = [(What::Placed, 12), (What::Released, 18)].map(|(w, at)| write(w, 0, at));
        [write(What::Started, 108, 10), placed, released, write(What::Acked, 108, 20)]
    }

    #[test]
    fn either_value_is_right_while_the_write_runs() {
        assert_eq!(found(&[&writer(), &[read(7, 10, 30), read(8, 9, 11)]], &[], &[8]), []);
        assert_eq!(found(&[&writer(), &[read(7, 1, 9), read(8, 30, 31)]], &[], &[8]), []);
    }

    #[test]
    fn a_write_that_had_returned_must_be_in_it() {
        assert_eq!(found(&[&writer(), &[read(7, 21, 30)]], &[], &[8]), [(Broken::OwnWrites, false)]);
    }

    #[test]
    fn a_value_that_had_been_read_must_be_in_it() {
        let reads = [read(8, 11, 13), read(7, 14, 15)];
        assert_eq!(found(&[&writer(), &reads], &[], &[8]), [(Broken::Strong, false)]);
        let (one, other) = ([read(8, 11, 13)], [read(7, 12, 15)]);
        assert_eq!(found(&[&writer(), &one, &other], &[], &[8]), [], "they overlap");
    }

    #[test]
    fn a_write_that_had_not_begun_must_not_be_in_it() {
        assert_eq!(found(&[&writer(), &[read(8, 1, 9)]], &[], &[8])[0], (Broken::NotWritten, false));
        let back = [write(What::Started, 108, 10), write(What::RolledBack, 108, 20)];
        assert_eq!(found(&[&back, &[read(8, 11, 12)]], &[], &[]), [(Broken::NotWritten, false)]);
        let unknown = [write(What::Started, 108, 10), write(What::Unknown, 108, 20)];
        assert_eq!(found(&[&unknown, &[read(8, 11, 12), read(7, 8, 9)]], &[], &[8]), []);
    }

    #[test]
    fn a_key_that_is_absent_again_is_taken_for_its_last_absence() {
        let [one, two] = [(ABSENT, 10), (ABSENT, 30)].map(|(v, at)| (Version { v, mark: at }, at));
        let versions = vec![Version { v: 7, mark: 0 }, one.0, Version { v: 8, mark: 20 }, two.0];
        let times = [10, 20, 30].map(|at: i64| {
            let at = at.unsigned_abs();
            (
                at.cast_signed(),
                Write { started: at, said: Some((What::Acked, at + 5)), count: 1, open: false },
            )
        });
        let register = Register::new(versions, &times.into());
        let broken = |read: Event| {
            let history = History { processes: vec![vec![read]], ..History::default() };
            register.check(&history, 0, &[]).first().map(|finding| finding.broken)
        };
        assert_eq!(broken(read(ABSENT, 16, 18)), None);
        assert_eq!(broken(read(ABSENT, 26, 28)), Some(Broken::OwnWrites));
        assert_eq!(broken(read(ABSENT, 26, 31)), None);
        assert_eq!(broken(read(ABSENT, 1, 9)), Some(Broken::NotWritten));
    }

    #[test]
    fn only_a_lost_intent_is_an_excuse_and_only_until_the_release() {
        let lost = [Event { begin: 12, end: 13, ..Event::new(What::Lost, 0, 0) }];
        let seen = read(8, 14, 15);
        assert_eq!(found(&[&writer(), &[seen, read(7, 16, 17)]], &lost, &[8]), [(Broken::Strong, true)]);
        assert_eq!(found(&[&writer(), &[seen, read(7, 19, 20)]], &lost, &[8]), [(Broken::Strong, false)]);
    }
}
