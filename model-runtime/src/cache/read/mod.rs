//! A read's part in the protocol: look, claim what is missing, and fill what the database answered.
mod claim;
mod fill;

pub(crate) use claim::claim;
pub(crate) use fill::{Answered, fill};

use super::codec::CacheSpec;
use super::entry::{self, Entry, Epoch, HEADER, Meta};
use super::observe::Event;
use super::protocol::{self, Command, Reply, Sight};
use crate::engine::Executor;
use crate::model::{ModelState, SentryModel};
use crate::store::Answer;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The right to fill one entry with what the database answers from now on.
#[derive(Debug)]
pub(crate) struct Lease {
    key: String,
    /// What must still stand there: this reader's lease, or the value that is refreshed.
    expect: Vec<u8>,
    /// Of the connection that granted it: stamping at fill time would revive leases after a failover.
    epoch: Epoch,
    granted: Instant,
}

/// An entry whose lease may be asked for.
#[derive(Debug)]
pub(crate) struct Vacancy {
    key: String,
    /// What stands there and is of no use; `None` for nothing.
    expect: Option<Vec<u8>>,
}

/// What a lookup found, or may do.
#[derive(Debug)]
pub(crate) enum Sought<M> {
    Hit(M),
    /// The cache knows that there is no such row.
    Absent,
    /// A hit whose time is nearly over: ask the database already, and fill.
    Due(M, Box<Grant>),
    /// Nothing of use; [`claim`] these.
    Open {
        row: Option<Vacancy>,
        pointer: Option<Vacancy>,
    },
    /// Ask the database, then [`fill`].
    Granted(Grant),
    /// Ask the database and leave the cache alone: a write is under way.
    Bypass,
    /// The same, because another reader fills.
    Filling,
    /// The same, because the store is out of reach.
    OutOfReach,
}

/// The leases of one lookup. Without one the row is not filled; a pointer without one is a hint, which is set unless a
/// write or a reader is at work there.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    pub(crate) row: Option<Lease>,
    pub(crate) pointer: Option<Lease>,
}

/// Looks for row entries, in one round trip.
pub(crate) async fn rows<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    keys: Vec<String>,
) -> Vec<Sought<M>> {
    let gets: Vec<_> = keys.into_iter().map(|key| Command::Get { key }).collect();
    let Ok(Answer { epoch, quarantined, replies, .. }) = db.store(&gets).await else {
        return gets.iter().map(|_| Sought::OutOfReach).collect();
    };
    let now_ms = wall_ms();
    let judge = |(get, reply): (&Command, Reply)| match (get, reply) {
        (Command::Get { key }, Reply::Entry(found)) => judged(db, spec, key, found.as_deref(), epoch, now_ms),
        _ => Sought::Bypass,
    };
    let found = gets.iter().zip(replies).map(judge).collect();
    if quarantined { closed(found) } else { found }
}

/// Follows pointers to rows, in one round trip. `carries` says whether a row has the value that the pointer of this
/// place was asked for: a pointer is only a hint.
pub(crate) async fn pointed<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    keys: &[String],
    carries: impl Fn(usize, &M) -> bool + Send,
) -> Vec<Sought<M>> {
    let derefs: Vec<_> = keys.iter().map(|key| Command::Deref { pointer: key.clone() }).collect();
    let Ok(Answer { epoch, quarantined, replies, .. }) = db.store(&derefs).await else {
        return keys.iter().map(|_| Sought::OutOfReach).collect();
    };
    let (mut found, now_ms) = (Vec::with_capacity(keys.len()), wall_ms());
    for (place, (key, reply)) in keys.iter().zip(replies).enumerate() {
        let Reply::Pair { pointer, row } = reply else {
            found.push(Sought::Bypass);
            continue;
        };
        if db.cache().unplaced().has(key) {
            found.push(Sought::Bypass);
            continue;
        }
        let sought = match pointer.as_deref().map(entry::parse) {
            Some(Entry::Pointer { target }) => judged(db, spec, target, row.as_deref(), epoch, now_ms),
            _ => at_pointer(spec, key, pointer.as_deref(), epoch),
        };
        found.push(match sought {
            Sought::Hit(row) | Sought::Due(row, _) if !carries(place, &row) => {
                db.cache().counters().add_of(M::NAME, Event::StalePointer, 1);
                Sought::Open { row: None, pointer: None }
            }
            // The row that it points at is gone, which says nothing about the value.
            Sought::Absent if matches!(pointer.as_deref(), Some([b'P', ..])) => {
                Sought::Open { row: None, pointer: None }
            }
            sought => sought,
        });
    }
    if quarantined { closed(found) } else { found }
}

/// In quarantine the store is read, and nothing is filled.
fn closed<M>(found: Vec<Sought<M>>) -> Vec<Sought<M>> {
    let close = |sought| match sought {
        Sought::Open { .. } => Sought::Bypass,
        Sought::Due(row, _) => Sought::Hit(row),
        sought => sought,
    };
    found.into_iter().map(close).collect()
}

/// What a pointer's key says where no pointer stands there.
fn at_pointer<M: SentryModel>(
    spec: &CacheSpec<M>,
    key: &str,
    found: Option<&[u8]>,
    epoch: Epoch,
) -> Sought<M> {
    // Only what may become a negative entry needs a lease.
    let vacancy = |expect| {
        let pointer = (spec.negative_ms > 0).then(|| Vacancy { key: key.to_owned(), expect });
        Sought::Open { row: None, pointer }
    };
    match protocol::look(found, epoch, ModelState::fingerprint::<M>()) {
        Sight::Absent if spec.negative_ms > 0 => Sought::Absent,
        Sight::Vacant => vacancy(None),
        Sight::Replace { expect } => vacancy(Some(expect)),
        Sight::Busy => busy(found),
        Sight::Absent | Sight::Hit { .. } => Sought::Open { row: None, pointer: None },
    }
}

/// What a row's entry says.
fn judged<M: SentryModel, S: Executor>(
    db: &S,
    spec: &'static CacheSpec<M>,
    key: &str,
    found: Option<&[u8]>,
    epoch: Epoch,
    now_ms: u64,
) -> Sought<M> {
    if db.cache().unplaced().has(key) {
        return Sought::Bypass;
    }
    let header = || found.map(|bytes| bytes.get(..HEADER).unwrap_or(bytes).to_vec());
    let vacancy = |expect| Sought::Open { row: Some(Vacancy { key: key.to_owned(), expect }), pointer: None };
    match protocol::look(found, epoch, ModelState::fingerprint::<M>()) {
        Sight::Hit { payload, meta, .. } => match spec.decoded(payload) {
            Ok(row) if !is_due(db, meta, now_ms) => Sought::Hit(row),
            Ok(row) => {
                let expect = header().unwrap_or_default();
                let lease = Lease { key: key.to_owned(), expect, epoch, granted: Instant::now() };
                Sought::Due(row, Box::new(Grant { row: Some(lease), pointer: None }))
            }
            Err(error) => {
                tracing::warn!(model = M::NAME, %error, "an undecodable entry is replaced");
                db.cache().counters().add_of(M::NAME, Event::Healed, 1);
                vacancy(header())
            }
        },
        Sight::Absent => Sought::Absent,
        Sight::Replace { expect } => {
            db.cache().counters().add_of(M::NAME, Event::EpochMiss, 1);
            vacancy(Some(expect))
        }
        Sight::Vacant => vacancy(None),
        Sight::Busy => busy(found),
    }
}

fn busy<M>(found: Option<&[u8]>) -> Sought<M> {
    match found {
        Some([b'L', ..]) => Sought::Filling,
        _ => Sought::Bypass,
    }
}

fn is_due<S: Executor>(db: &S, meta: Meta, now_ms: u64) -> bool {
    // The clocks of two processes may differ: then a row is refreshed too early or expires, and is right all the same.
    protocol::is_refresh_due(meta, now_ms, db.cache().config().refresh_ahead, fastrand::f64())
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Counts what a lookup came to, and says so in its span.
pub(crate) fn count<M: SentryModel, S: Executor>(db: &S, sought: &Sought<M>) {
    let (event, outcome) = named(sought);
    tracing::Span::current().record("outcome", outcome);
    count_all(db, std::slice::from_ref(sought), |_| event);
}

/// Counts what lookups came to.
pub(crate) fn tally<M: SentryModel, S: Executor>(db: &S, found: &[Sought<M>]) {
    count_all(db, found, |sought| named(sought).0);
}

fn count_all<M: SentryModel, S: Executor>(db: &S, found: &[Sought<M>], event: impl Fn(&Sought<M>) -> Event) {
    let counters = db.cache().counters();
    let refreshes = found.iter().filter(|sought| matches!(sought, Sought::Due(..))).count();
    if refreshes > 0 {
        counters.add_of(M::NAME, Event::Refresh, refreshes as u64);
    }
    // Most lookups of a batch come to the same.
    for alike in found.chunk_by(|left, right| event(left) == event(right)) {
        counters.add_of(M::NAME, event(&alike[0]), alike.len() as u64);
    }
}

fn named<M>(sought: &Sought<M>) -> (Event, &'static str) {
    match sought {
        Sought::Hit(_) => (Event::Hit, "hit"),
        Sought::Absent => (Event::NegativeHit, "negative hit"),
        Sought::Due(..) => (Event::Hit, "refresh"),
        Sought::Granted(_) | Sought::Open { .. } => (Event::Miss, "miss"),
        Sought::Bypass | Sought::Filling => (Event::Bypass, "bypass"),
        Sought::OutOfReach => (Event::Bypass, "out of reach"),
    }
}
