//! What a read may return. Pure: a history in, findings out.
//!
//! *Own writes*: at least the highest value that a write had returned with before the read began. *Strong*: at least
//! the highest value that any read or write had returned with before it began. And at most the value before the run
//! plus the writes that had started before it ended and were not rolled back.
use super::ROWS;
use super::event::{Event, What};
use super::exposure::{Cause, Exposure, exposures};
use std::fmt;

/// Everything that was logged.
#[derive(Debug, Default)]
pub struct History {
    /// The value of each row before the first write.
    pub initial: Vec<i64>,
    /// What each process logged, in its order.
    pub processes: Vec<Vec<Event>>,
    /// What the driver did to the store.
    pub losses: Vec<Event>,
}

/// Which promise a read breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A write that had returned is not in it.
    OwnWrites,
    /// What another read had returned is not in it.
    Strong,
    /// It holds a write that had not begun, or that was rolled back.
    NotWritten,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnWrites => "a write that had returned is not in it",
            Self::Strong => "a value that had been read is not in it",
            Self::NotWritten => "it holds a write that had not begun, or was rolled back",
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
    /// What it had to return at least, or at most.
    pub bound: i64,
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

/// Times with the highest value until each.
struct Heights(Vec<(u64, i64)>);

impl Heights {
    fn new(mut points: Vec<(u64, i64)>) -> Self {
        points.sort_unstable();
        let mut highest = i64::MIN;
        for (_, v) in &mut points {
            highest = highest.max(*v);
            *v = highest;
        }
        Self(points)
    }

    /// The highest value before the time.
    fn before(&self, time: u64) -> Option<i64> {
        let index = self.0.partition_point(|(at, _)| *at < time);
        index.checked_sub(1).map(|index| self.0[index].1)
    }

    /// When a value above this one was first there.
    fn above(&self, v: i64) -> Option<u64> {
        self.0.get(self.0.partition_point(|(_, highest)| *highest <= v)).map(|(at, _)| *at)
    }
}

/// Every read that breaks a promise, excused or not.
#[must_use]
pub fn check(history: &History) -> Vec<Finding> {
    (0..ROWS).flat_map(|row| check_row(history, row)).collect()
}

fn check_row(history: &History, row: u8) -> Vec<Finding> {
    let initial = history.initial[usize::from(row)];
    let events = || history.processes.iter().flatten().filter(|event| event.row == row);
    let acked = Heights::new(
        events().filter(|event| event.what == What::Acked).map(|event| (event.begin, event.v)).collect(),
    );
    let known = |event: &&Event| matches!(event.what, What::Acked | What::Read);
    let seen = Heights::new(events().filter(known).map(|event| (event.end, event.v)).collect());
    let started = started(history, row);
    let exposed = exposures(&history.processes, &history.losses, row);
    let mut out = Vec::new();
    for (process, log) in history.processes.iter().enumerate() {
        for read in log.iter().filter(|event| event.what == What::Read && event.row == row) {
            let most = initial + i64::try_from(started.partition_point(|at| *at < read.end)).unwrap();
            let least = [(Broken::OwnWrites, &acked), (Broken::Strong, &seen)];
            let least = least.into_iter().find_map(|(broken, heights)| {
                let bound = heights.before(read.begin).filter(|bound| *bound > read.v)?;
                Some((broken, bound, seen.above(read.v)?))
            });
            let most = (read.v > most).then_some((Broken::NotWritten, most, read.end));
            for (broken, bound, since) in least.into_iter().chain(most) {
                let excuse = excuse(&exposed, since, read.begin).filter(|_| broken != Broken::NotWritten);
                out.push(Finding { broken, process, read: *read, bound, since, excuse });
            }
        }
    }
    out
}

/// When the writes started that were not rolled back, in order.
fn started(history: &History, row: u8) -> Vec<u64> {
    let mut out = Vec::new();
    for process in &history.processes {
        let mut open: Vec<Event> = Vec::new();
        for event in process.iter().filter(|event| event.row == row) {
            match event.what {
                What::Started => open.push(*event),
                What::RolledBack => open.retain(|started| started.thread != event.thread),
                What::Acked | What::Unknown => {
                    out.extend(open.iter().filter(|started| started.thread == event.thread).map(|s| s.begin));
                    open.retain(|started| started.thread != event.thread);
                }
                _ => {}
            }
        }
        out.extend(open.iter().map(|started| started.begin));
    }
    out.sort_unstable();
    out
}

/// Why the row was exposed from the newer value to the read.
fn excuse(exposed: &[Exposure], since: u64, begin: u64) -> Option<Cause> {
    let spans = |span: &&Exposure| span.from <= since && begin <= span.until;
    exposed.iter().find(spans).map(|span| span.cause)
}

/// What happened to the row around the finding, in order.
#[must_use]
pub fn around(history: &History, finding: &Finding, count: usize) -> Vec<(usize, Event)> {
    let of_row = |event: &&Event| event.row == finding.read.row && event.begin <= finding.read.begin;
    let mut out: Vec<(usize, Event)> = Vec::new();
    for (process, log) in history.processes.iter().enumerate() {
        out.extend(log.iter().filter(of_row).map(|event| (process, *event)));
    }
    let before = history.losses.iter().filter(|event| event.begin <= finding.read.end);
    out.extend(before.map(|event| (usize::MAX, *event)));
    out.sort_by_key(|(_, event)| event.begin);
    out.split_off(out.len().saturating_sub(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(v: i64, begin: u64, end: u64) -> Event {
        Event { v, begin, end, count: 1, ..Event::new(What::Read, 0, 0) }
    }

    fn write(what: What, v: i64, at: u64) -> Event {
        Event { v, begin: at, end: at, ..Event::new(what, 0, 0) }
    }

    fn found(processes: &[&[Event]], losses: &[Event]) -> Vec<(Broken, i64, bool)> {
        let processes = processes.iter().map(|log| log.to_vec()).collect();
        let history = History { initial: vec![7; ROWS.into()], processes, losses: losses.to_vec() };
        check(&history)
            .iter()
            .map(|finding| (finding.broken, finding.bound, finding.excuse.is_some()))
            .collect()
    }

    /// A guarded write of 8 that starts at 10 and returns at 20.
    fn writer() -> [Event; 4] {
        let [placed, released] = [(What::Placed, 12), (What::Released, 18)].map(|(w, at)| write(w, 0, at));
        [write(What::Started, 0, 10), placed, released, write(What::Acked, 8, 20)]
    }

    #[test]
    fn either_value_is_right_while_the_write_runs() {
        assert_eq!(found(&[&writer(), &[read(7, 10, 30), read(8, 9, 11)]], &[]), []);
        assert_eq!(found(&[&writer(), &[read(7, 1, 9), read(8, 30, 31)]], &[]), []);
    }

    #[test]
    fn a_write_that_had_returned_must_be_in_it() {
        assert_eq!(found(&[&writer(), &[read(7, 21, 30)]], &[]), [(Broken::OwnWrites, 8, false)]);
    }

    #[test]
    fn a_value_that_had_been_read_must_be_in_it() {
        let reads = [read(8, 11, 13), read(7, 14, 15)];
        assert_eq!(found(&[&writer(), &reads], &[]), [(Broken::Strong, 8, false)]);
        let (one, other) = ([read(8, 11, 13)], [read(7, 12, 15)]);
        assert_eq!(found(&[&writer(), &one, &other], &[]), [], "they overlap");
    }

    #[test]
    fn a_write_that_had_not_begun_must_not_be_in_it() {
        assert_eq!(found(&[&writer(), &[read(8, 1, 9)]], &[])[0], (Broken::NotWritten, 7, false));
        let back = [write(What::Started, 0, 10), write(What::RolledBack, 0, 20)];
        assert_eq!(found(&[&back, &[read(8, 11, 12)]], &[]), [(Broken::NotWritten, 7, false)]);
        let unknown = [write(What::Started, 0, 10), write(What::Unknown, 0, 20)];
        assert_eq!(found(&[&unknown, &[read(8, 11, 12), read(7, 8, 9)]], &[]), []);
    }

    #[test]
    fn only_a_lost_intent_is_an_excuse_and_only_until_the_release() {
        let lost = [Event { begin: 12, end: 13, ..Event::new(What::Lost, 0, 0) }];
        let seen = read(8, 14, 15);
        assert_eq!(found(&[&writer(), &[seen, read(7, 16, 17)]], &lost), [(Broken::Strong, 8, true)]);
        assert_eq!(found(&[&writer(), &[seen, read(7, 19, 20)]], &lost), [(Broken::Strong, 8, false)]);
    }
}
