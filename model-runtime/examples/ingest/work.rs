//! The work itself: a cached lookup, an upsert and a cached lookup per event.
use crate::Failure;
use crate::database::{Open, Statements, Target, count_statements};
use crate::events::Event;
use crate::model::{Group, groups};
use crate::oracle::Expected;
use diesel::prelude::SqliteConnection;
use indicatif::{ProgressBar, ProgressStyle};
use model_runtime::prelude::*;
use model_runtime::{Dialect, ModelSql};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// What the run did.
pub(crate) struct Outcome {
    pub(crate) events: usize,
    pub(crate) elapsed: Duration,
    pub(crate) statements: u64,
    /// Lookups that did not show exactly the events written before.
    pub(crate) stale: usize,
    pub(crate) busiest: Vec<(String, i32)>,
}

/// Writes every event with `threads` writers.
pub(crate) fn ingest(
    target: &Target,
    cache: &Cache,
    events: &[Event],
    threads: usize,
) -> Result<Outcome, Failure> {
    match target {
        Target::Sqlite { .. } => ingest_on::<SqliteConnection>(target, cache, events, threads),
        #[cfg(feature = "postgres")]
        Target::Postgres { .. } => ingest_on::<diesel::PgConnection>(target, cache, events, threads),
        #[cfg(feature = "mysql")]
        Target::Mysql { .. } => ingest_on::<diesel::MysqlConnection>(target, cache, events, threads),
    }
}

fn ingest_on<C>(target: &Target, cache: &Cache, events: &[Event], threads: usize) -> Result<Outcome, Failure>
where
    C: Open,
    C::Backend: Dialect,
    Group: ModelSql<C::Backend>,
{
    let (statements, progress) = (Statements::default(), progress(events.len()));
    let started = Instant::now();
    let share = |writer| {
        let (statements, progress) = (&statements, &progress);
        move || -> Result<Share, Failure> {
            let mut conn = C::open(target)?;
            count_statements(&mut conn, statements);
            let mut db = Session::new(&mut conn, cache);
            let mut share = Share::default();
            for event in events.iter().filter(|event| writer_of(&event.path, threads) == writer) {
                share.take(&mut db, event)?;
                progress.inc(1);
            }
            Ok(share)
        }
    };
    let shares: Result<Vec<Share>, Failure> = thread::scope(|scope| {
        let writers: Vec<_> = (0..threads).map(|writer| scope.spawn(share(writer))).collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or_else(|_| Err("a writer panicked".into())))
            .collect()
    });
    let (shares, elapsed) = (shares?, started.elapsed());
    progress.finish_and_clear();
    Ok(Outcome {
        events: events.len(),
        elapsed,
        statements: statements.load(Ordering::Relaxed),
        stale: shares.iter().map(|share| share.stale).sum(),
        busiest: busiest(shares),
    })
}

/// What one writer did.
#[derive(Default)]
struct Share {
    /// How many events of each path.
    times: HashMap<String, i32>,
    stale: usize,
}

impl Share {
    /// Looks the event's group up from the cache, upserts it and looks again: the first lookup must show all
    /// events but this one, the second one this one too.
    fn take<C>(&mut self, db: &mut Session<'_, C>, event: &Event) -> Result<(), Failure>
    where
        C: Open,
        C::Backend: Dialect,
        Group: ModelSql<C::Backend>,
    {
        let before = Group::get_from_cache(db, groups::path, &event.path).optional()?;
        Group::create_or_update()
            .path(&event.path)
            .defaults(|d| {
                d.times_seen(F(groups::times_seen) + 1)
                    .lines_added(F(groups::lines_added) + event.added)
                    .lines_removed(F(groups::lines_removed) + event.removed)
                    .last_seen(event.time)
                    .last_event(details(event))
            })
            .on_insert(|d| d.first_seen(event.time))
            .execute(db)?;
        let after = Group::get_from_cache(db, groups::path, &event.path)?;
        let times = self.times.entry(event.path.clone()).or_default();
        let stale_before = before.map_or(0, |group| group.times_seen) != *times;
        *times += 1;
        let stale_after = (after.times_seen, after.last_seen) != (*times, event.time);
        self.stale += usize::from(stale_before) + usize::from(stale_after);
        Ok(())
    }
}

/// All events of a path go to one writer: "last seen" is the last of them in time.
fn writer_of(path: &str, threads: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    usize::try_from(hasher.finish() % threads as u64).unwrap_or(0)
}

fn details(event: &Event) -> GzippedDict {
    let pairs = [("time", event.time), ("added", event.added), ("removed", event.removed)];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn busiest(shares: Vec<Share>) -> Vec<(String, i32)> {
    let mut times: Vec<_> = shares.into_iter().flat_map(|share| share.times).collect();
    times.sort_by(|(path, times), (other_path, other)| other.cmp(times).then_with(|| path.cmp(other_path)));
    times.truncate(10);
    times
}

fn progress(events: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left");
    // Hidden by itself where standard error is no terminal.
    ProgressBar::new(events as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Compares every group with the oracle, both as the database and as the cache have it.
pub(crate) fn differences(
    target: &Target,
    cache: &Cache,
    expected: &[Expected],
) -> Result<Vec<String>, Failure> {
    match target {
        Target::Sqlite { .. } => differences_on::<SqliteConnection>(target, cache, expected),
        #[cfg(feature = "postgres")]
        Target::Postgres { .. } => differences_on::<diesel::PgConnection>(target, cache, expected),
        #[cfg(feature = "mysql")]
        Target::Mysql { .. } => differences_on::<diesel::MysqlConnection>(target, cache, expected),
    }
}

fn differences_on<C>(target: &Target, cache: &Cache, expected: &[Expected]) -> Result<Vec<String>, Failure>
where
    C: Open,
    C::Backend: Dialect,
    Group: ModelSql<C::Backend>,
{
    let mut conn = C::open(target)?;
    let mut found = Vec::new();
    let groups = conn.group_count()?;
    if groups != i64::try_from(expected.len())? {
        found.push(format!("expected {} groups, found {groups}", expected.len()));
    }
    let mut db = Session::new(&mut conn, cache);
    for wanted in expected {
        let cached = Group::get_from_cache(&mut db, groups::path, &wanted.path).optional()?;
        // Inside a transaction the database answers.
        let stored = db.transaction(|db| Group::get_from_cache(db, groups::path, &wanted.path).optional())?;
        for (place, group) in [("cache", cached), ("database", stored)] {
            if group.as_deref().map(summary).as_ref() != Some(wanted) {
                found
                    .push(format!("{place}: expected {wanted:?}, found {:?}", group.as_deref().map(summary)));
            }
        }
    }
    Ok(found)
}

fn summary(group: &Group) -> Expected {
    Expected {
        path: group.path.clone(),
        times_seen: group.times_seen,
        added: group.lines_added,
        removed: group.lines_removed,
        first_seen: group.first_seen,
        last_seen: group.last_seen,
    }
}
