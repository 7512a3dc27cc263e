//! What a run came to.
use super::check::{Broken, Finding, Findings, History, around};
use super::event::{Event, What};
use super::exposure::Cause;
use super::fault::{Fault, Point, Trial};
use super::ledger::{Dispute, keys, keys_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

/// How much of a row's past is printed with a finding.
const PAST: usize = 40;

/// How long before a newer value was known that past begins, in nanoseconds.
const BEFORE: u64 = 30_000_000;

/// What strikes in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Round {
    /// The workers alone.
    Workers,
    /// The store loses its data, and no worker dies.
    Store,
}

/// The counts of one database.
#[derive(Debug, Default)]
pub struct Tally {
    /// Its name.
    pub database: String,
    /// Lookups that returned a row.
    pub reads: u64,
    /// Lookups that the store answered, and the others.
    pub lookups: (u64, u64),
    /// Writes that returned success.
    pub acked: u64,
    /// Writes that were rolled back on purpose.
    pub rolled_back: u64,
    /// Writes that returned an error by which nothing was written.
    pub refused: u64,
    /// Writes that were dropped, or returned an error that leaves it open.
    pub unknown: u64,
    /// Rows that the database's triggers saw written.
    pub written: u64,
    /// What operations tried, and how often it came about.
    pub trials: BTreeMap<Trial, u64>,
    /// By point and kind.
    pub faults: BTreeMap<(Point, Fault), u64>,
    /// What the driver did to the store.
    pub losses: BTreeMap<&'static str, u64>,
    /// Stale reads that nothing allows.
    pub stale: Vec<String>,
    /// Writes that returned success, and are not in the database.
    pub lost: Vec<String>,
    /// Writes that are in the database, and were reported as not written, or by nobody.
    pub phantom: Vec<String>,
    /// Stale reads within the documented bounds, and the longest time for which a newer value was known.
    pub excused: BTreeMap<(Round, Cause), (u64, u64)>,
    /// Reads of rows that a dead writer left stale within those bounds.
    pub left: BTreeMap<Round, u64>,
    /// The same time outside of them.
    pub worst_stale: u64,
}

impl Tally {
    /// Counts what the processes logged.
    pub fn count(&mut self, logs: &[Vec<Event>]) {
        for log in logs {
            let mut looked = (0, 0);
            for event in log {
                match event.what {
                    What::Read => self.reads += u64::from(event.count),
                    What::Acked => self.acked += 1,
                    What::RolledBack => self.rolled_back += 1,
                    What::Refused => self.refused += 1,
                    What::Unknown => self.unknown += 1,
                    What::Misread => self.reads += 1,
                    What::Looked => looked = (event.begin, event.end),
                    _ => {}
                }
                if let Some(trial) = event.trial() {
                    *self.trials.entry(trial).or_default() += 1;
                }
                if let Some(fault) = event.fault() {
                    *self.faults.entry(fault).or_default() += 1;
                }
            }
            self.lookups = (self.lookups.0 + looked.0, self.lookups.1 + looked.1);
        }
    }

    /// Counts what the checker found; what nothing allows is told in full.
    pub fn judge(&mut self, history: &History, findings: &Findings) {
        self.written += history.ledger.len() as u64;
        for dispute in &findings.writes {
            let of_kind = if dispute.is_lost() { &mut self.lost } else { &mut self.phantom };
            of_kind.push(told_of_write(history, dispute));
        }
        for finding in &findings.reads {
            if let Some(cause) = finding.excuse {
                let (count, worst) = self.excused.entry((history.round(), cause)).or_default();
                (*count, *worst) = (*count + 1, (*worst).max(finding.window()));
            } else {
                self.worst_stale = self.worst_stale.max(finding.window());
                self.stale.push(told(history, finding));
            }
        }
    }

    fn display_trials(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (trial, count)) in self.trials.iter().enumerate() {
            let separator = if at % 4 == 0 { "  " } else { ", " };
            let end = if at % 4 == 3 || at + 1 == self.trials.len() { "\n" } else { "" };
            write!(f, "{separator}{trial:>20}{count:>8}{end}")?;
        }
        Ok(())
    }

    /// How many calls panicked though no callback was to.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.trials.get(&Trial::Crashed).copied().unwrap_or(0)
    }

    /// How many faults were injected.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum::<u64>() + self.losses.values().sum::<u64>()
    }
}

fn told(history: &History, finding: &Finding) -> String {
    let Finding { broken, process, read, bound, since, .. } = finding;
    let due = bound.map_or_else(String::new, |bound| format!(" where {bound} was due, or a later one"));
    let zero = read.begin;
    let known = ms(zero.saturating_sub(*since));
    let mut out = format!(
        "stale read: {broken}\n  lookup {}, process {process}: {}{due}; a newer value was known {known} before the \
         read began\n",
        read.row, read.v,
    );
    if *broken == Broken::Misread {
        tell_of_thread(&mut out, history, *process, read);
        return out;
    }
    let of_lookup = |keys: &BTreeSet<u8>| keys.iter().any(|key| keys_of(read.row).contains(key));
    let marks = keys(&history.ledger).into_iter().filter(|(_, keys)| of_lookup(keys));
    let marks: Vec<i64> = marks.map(|(mark, _)| mark).collect();
    let mut events = around(history, read.row, &marks, since.saturating_sub(BEFORE)..zero);
    events.truncate(PAST);
    tell(&mut out, &events, zero);
    let entries = history.ledger.iter().filter(|entry| marks.contains(&entry.mark));
    let at = entries.clone().position(|entry| Some(entry.v) == *bound).unwrap_or(0);
    for entry in entries.skip((at + 1).saturating_sub(PAST / 4)).take(PAST / 2) {
        let _ = writeln!(out, "  {entry:?}");
    }
    out
}

fn told_of_write(history: &History, dispute: &Dispute) -> String {
    let Dispute { mark, said, due, written } = dispute;
    let kind = if dispute.is_lost() { "lost write" } else { "phantom write" };
    let said = said.map_or_else(|| "nothing".to_owned(), |what| format!("{what:?}"));
    let mut out =
        format!("{kind} {mark}: its worker said {said} of {due} rows, and the database has {written}\n");
    let of_write = |event: &&Event| event.v == *mark && event.what == What::Started;
    let began = history
        .processes
        .iter()
        .enumerate()
        .find_map(|(process, log)| log.iter().find(of_write).map(|event| (process, *event)));
    if let Some((process, began)) = began {
        tell_of_thread(&mut out, history, process, &began);
    }
    out
}

/// What the thread did before and after.
fn tell_of_thread(out: &mut String, history: &History, process: usize, event: &Event) {
    let of_thread = |it: &&Event| it.thread == event.thread && it.what != What::Read;
    let log: Vec<_> = history.processes[process].iter().filter(of_thread).map(|it| (process, *it)).collect();
    let at = log.iter().position(|(_, it)| it == event).unwrap_or(0);
    let (from, to) = (at.saturating_sub(PAST / 2), (at + PAST / 2).min(log.len()));
    tell(out, &log[from..to], event.begin);
}

/// A line for each event, with its time from the moment on.
fn tell(out: &mut String, events: &[(usize, Event)], zero: u64) {
    for (process, event) in events {
        let at =
            if event.begin < zero { format!("-{}", ms(zero - event.begin)) } else { ms(event.begin - zero) };
        let long = ms(event.end.saturating_sub(event.begin));
        let who = if *process == usize::MAX { "driver".to_owned() } else { format!("process {process}") };
        let fault = event.fault().map(|(point, fault)| format!(": {fault} {point}"));
        let detail = fault.or_else(|| event.trial().map(|trial| format!(": {trial}"))).unwrap_or_default();
        let what = format!("{:?}{detail}", event.what);
        let (row, v) = (event.row, event.v);
        let _ = writeln!(out, "  {at:>13}  {who}, thread {}: {what} row={row} v={v} ({long})", event.thread);
    }
}

/// Nanoseconds as text.
fn ms(nanoseconds: u64) -> String {
    format!("{}.{:03} ms", nanoseconds / 1_000_000, nanoseconds / 1000 % 1000)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hits, others) = self.lookups;
        let share = hits * 100 / (hits + others).max(1);
        writeln!(f, "{}: {} reads, {share} % hits", self.database, self.reads)?;
        let Self { acked, rolled_back, refused, unknown, written, .. } = self;
        writeln!(
            f,
            "  writes: {acked} done, {rolled_back} rolled back, {refused} refused, {unknown} unknown; the database \
             has {written} rows of them"
        )?;
        self.display_trials(f)?;
        write!(f, "  {:<16}", "faults")?;
        Fault::ALL.iter().try_for_each(|fault| write!(f, "{fault:>14}"))?;
        for point in Point::ALL {
            write!(f, "\n  {point:<16}")?;
            for fault in Fault::ALL {
                write!(f, "{:>14}", self.faults.get(&(*point, *fault)).unwrap_or(&0))?;
            }
        }
        write!(f, "\n  of the store:")?;
        self.losses.iter().try_for_each(|(what, count)| write!(f, " {what} {count}"))?;
        writeln!(f, "\n  stale: {}, the worst for {}", self.stale.len(), ms(self.worst_stale))?;
        writeln!(f, "  lost writes: {}, phantom writes: {}", self.lost.len(), self.phantom.len())?;
        for ((round, cause), (count, worst)) in &self.excused {
            let cause = match cause {
                Cause::Stopped => "a writer stood still for longer than its intent lives",
                Cause::Lost => "the store lost an intent",
                Cause::Away => "the store was out of one writer's reach",
            };
            let worst = ms(*worst);
            writeln!(
                f,
                "  within the documented bounds, {round}, as {cause}: {count}, the worst for {worst}"
            )?;
        }
        for (round, count) in &self.left {
            writeln!(f, "  within the documented bounds, {round}, left by a dead writer: {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workers => "while workers were struck",
            Self::Store => "while the store lost its data",
        })
    }
}

impl History {
    /// What struck in it.
    #[must_use]
    pub fn round(&self) -> Round {
        if self.losses.is_empty() { Round::Workers } else { Round::Store }
    }
}
