//! A read's part in the protocol: look, lease, and fill what the database answered.
use super::codec::{CacheSpec, MAX_ROW_BYTES};
use super::entry::{self, Entry, Epoch, HEADER, Meta, Token, new_token};
use super::observe::Event;
use super::protocol::{self, Command, Reply, Sight};
use crate::engine::Executor;
use crate::model::{ModelState, SentryModel};
use crate::store::Answer;
use std::time::Instant;

/// The right to fill one entry with what the database answers from now on.
#[derive(Debug)]
pub(crate) struct Lease {
    key: String,
    token: Token,
    /// Of the connection that granted it: stamping at fill time would revive leases after a failover.
    epoch: Epoch,
    granted: Instant,
}

/// What a row entry had to say.
#[derive(Debug)]
pub(crate) enum Probe<M> {
    Hit(M),
    /// Ask the database, then [`fill`].
    Granted(Lease),
    /// Ask the database and leave the cache alone: a write is under way, or another reader fills.
    Bypass,
}

/// What a pointer and the row behind it had to say.
#[derive(Debug)]
pub(crate) enum Pointed<M> {
    Hit(M),
    /// Ask the database by the field, then [`repoint`] with the lease of the row pointed at.
    Granted(Lease),
    /// No pointer, or one to a row with another value: ask the database by the field, then [`repoint`].
    Nowhere,
    Bypass,
}

/// Looks for row entries: one round trip for hits, a second one where leases are to be taken.
pub(crate) async fn rows<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    keys: Vec<String>,
) -> Vec<Probe<M>> {
    let gets: Vec<_> = keys.iter().map(|key| Command::Get { key: key.clone() }).collect();
    let Ok(Answer { epoch, replies }) = db.store(&gets).await else {
        db.cache().counters().add(Event::Bypass, keys.len() as u64);
        return keys.iter().map(|_| Probe::Bypass).collect();
    };
    let found = keys.into_iter().zip(replies).map(|(key, reply)| (key, entry_of(reply))).collect();
    let probes = claim(db, spec, found, epoch).await;
    for probe in &probes {
        count(db, probe);
    }
    probes
}

/// Follows pointers: one round trip for hits. `carries` says whether a row has the value that the pointer of this
/// place was asked for.
pub(crate) async fn pointed<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    keys: &[String],
    carries: impl Fn(usize, &M) -> bool + Send,
) -> Vec<Pointed<M>> {
    let derefs: Vec<_> = keys.iter().map(|key| Command::Deref { pointer: key.clone() }).collect();
    let Ok(Answer { epoch, replies }) = db.store(&derefs).await else {
        db.cache().counters().add(Event::Bypass, keys.len() as u64);
        return keys.iter().map(|_| Pointed::Bypass).collect();
    };
    let mut out: Vec<_> = keys.iter().map(|_| Pointed::Nowhere).collect();
    let (places, found): (Vec<_>, Vec<_>) =
        replies.into_iter().enumerate().filter_map(|(place, reply)| Some((place, target_of(reply)?))).unzip();
    db.cache().counters().add(Event::Miss, (keys.len() - places.len()) as u64);
    let probes = claim(db, spec, found, epoch).await;
    for (place, probe) in places.into_iter().zip(probes) {
        out[place] = match probe {
            Probe::Hit(row) if !carries(place, &row) => {
                db.cache().counters().add(Event::StalePointer, 1);
                db.cache().counters().add(Event::Miss, 1);
                Pointed::Nowhere
            }
            probe => {
                count(db, &probe);
                probe.into()
            }
        };
    }
    out
}

impl<M> From<Probe<M>> for Pointed<M> {
    fn from(probe: Probe<M>) -> Self {
        match probe {
            Probe::Hit(row) => Self::Hit(row),
            Probe::Granted(lease) => Self::Granted(lease),
            Probe::Bypass => Self::Bypass,
        }
    }
}

fn entry_of(reply: Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::Entry(entry) => entry,
        Reply::Pair { .. } | Reply::Done(_) => None,
    }
}

/// The key that a pointer names, and what stands there.
fn target_of(reply: Reply) -> Option<(String, Option<Vec<u8>>)> {
    let Reply::Pair { pointer, row } = reply else { return None };
    match entry::parse(pointer.as_deref()?) {
        Entry::Pointer { target } => Some((target.to_owned(), row)),
        _ => None,
    }
}

/// Stores the rows that the database answered under their leases; without a row the lease is given back.
pub(crate) async fn fill<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    answers: Vec<(Lease, Option<&M>)>,
) {
    let batch = answers.into_iter().map(|(lease, row)| filling(spec, lease, row)).collect();
    send_fill(db, batch).await;
}

/// What the database answered to one pointer.
#[derive(Debug)]
pub(crate) struct Repoint<'r, M> {
    pub(crate) pointer: String,
    /// Of the row that it pointed at.
    pub(crate) lease: Option<Lease>,
    pub(crate) row: Option<&'r M>,
}

/// Points the pointers at the rows that the database answered, and fills a row where the lease is its own.
pub(crate) async fn repoint<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    answers: Vec<Repoint<'_, M>>,
) {
    let mut batch = Vec::with_capacity(2 * answers.len());
    for Repoint { pointer, lease, row } in answers {
        let target = row.map(|row| db.cache().key(M::NAME, &(spec.key)(row)));
        if let Some(lease) = lease {
            if target.is_none() {
                batch.push(Command::Unpoint { pointer: pointer.clone(), target: lease.key.clone() });
            }
            let own = target.as_ref() == Some(&lease.key);
            batch.push(filling(spec, lease, row.filter(|_| own)));
        }
        if let Some(target) = target {
            batch.push(Command::Point { pointer, target, ttl_ms: jittered(spec.ttl_ms) });
        }
    }
    send_fill(db, batch).await;
}

/// Decodes hits, and takes the leases of vacant and replaceable entries in one batch.
async fn claim<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    found: Vec<(String, Option<Vec<u8>>)>,
    epoch: Epoch,
) -> Vec<Probe<M>> {
    let (mut probes, mut claims) = (Vec::with_capacity(found.len()), Vec::new());
    for (place, (key, bytes)) in found.into_iter().enumerate() {
        probes.push(match look(db, spec, bytes.as_deref(), epoch) {
            Seen::Hit(row) => Probe::Hit(row),
            Seen::Busy => Probe::Bypass,
            Seen::Claimable(expect) => {
                claims.push(Claim { place, key, token: new_token(), expect });
                Probe::Bypass
            }
        });
    }
    if claims.is_empty() {
        return probes;
    }
    let lease_ms = db.cache().config().lease_ms;
    let commands: Vec<_> = claims.iter().map(|claim| claim.command(lease_ms)).collect();
    let Ok(Answer { epoch, replies }) = db.store(&commands).await else { return probes };
    for (claim, reply) in claims.into_iter().zip(replies) {
        let place = claim.place;
        probes[place] = claim.settle(spec, &reply, epoch);
    }
    probes
}

/// What a reader makes of one entry.
enum Seen<M> {
    Hit(M),
    Busy,
    /// Take the lease; `None` where nothing stands there, else what must still stand there.
    Claimable(Option<Vec<u8>>),
}

fn look<M: SentryModel, S: Executor>(
    db: &S,
    spec: &'static CacheSpec<M>,
    found: Option<&[u8]>,
    epoch: Epoch,
) -> Seen<M> {
    match protocol::look(found, epoch, ModelState::fingerprint::<M>()) {
        Sight::Hit { payload, .. } => match spec.decoded(payload) {
            Ok(row) => Seen::Hit(row),
            Err(error) => {
                tracing::warn!(model = M::NAME, %error, "an undecodable entry is replaced");
                db.cache().counters().add(Event::Healed, 1);
                Seen::Claimable(found.map(|bytes| bytes.iter().take(HEADER).copied().collect()))
            }
        },
        Sight::Replace { expect } => {
            db.cache().counters().add(Event::EpochMiss, 1);
            Seen::Claimable(Some(expect))
        }
        Sight::Vacant => Seen::Claimable(None),
        Sight::Busy => Seen::Busy,
    }
}

/// An entry whose lease is asked for.
struct Claim {
    place: usize,
    key: String,
    token: Token,
    expect: Option<Vec<u8>>,
}

impl Claim {
    fn command(&self, ttl_ms: u64) -> Command {
        let (key, token) = (self.key.clone(), self.token);
        match &self.expect {
            None => Command::Lease { key, token, ttl_ms },
            // A value that is of no use is replaced by the lease, if it still stands there.
            Some(expect) => Command::Swap { key, expect: expect.clone(), new: entry::lease(token), ttl_ms },
        }
    }

    fn settle<M: SentryModel>(self, spec: &'static CacheSpec<M>, reply: &Reply, epoch: Epoch) -> Probe<M> {
        let granted = match reply {
            Reply::Done(done) => *done,
            Reply::Entry(previous) => {
                let fingerprint = ModelState::fingerprint::<M>();
                match protocol::after_lease(previous.as_deref(), &self.token, epoch, fingerprint) {
                    Sight::Vacant => true,
                    // Another reader filled it between the look and the lease.
                    Sight::Hit { payload, .. } => {
                        return spec.decoded(payload).map_or(Probe::Bypass, Probe::Hit);
                    }
                    Sight::Replace { .. } | Sight::Busy => false,
                }
            }
            Reply::Pair { .. } => false,
        };
        match granted {
            true => {
                Probe::Granted(Lease { key: self.key, token: self.token, epoch, granted: Instant::now() })
            }
            false => Probe::Bypass,
        }
    }
}

fn filling<M: SentryModel>(spec: &'static CacheSpec<M>, lease: Lease, row: Option<&M>) -> Command {
    let Lease { key, token, epoch, granted } = lease;
    let payload = row.and_then(|row| match spec.encoded(row) {
        Ok(payload) => Some(payload),
        Err(error) => {
            tracing::warn!(model = M::NAME, %error, limit = MAX_ROW_BYTES, "a row is not cached");
            None
        }
    });
    let Some(payload) = payload else { return Command::Release { key, token } };
    let load_cost_us = u32::try_from(granted.elapsed().as_micros()).unwrap_or(u32::MAX);
    let meta = Meta { fingerprint: ModelState::fingerprint::<M>(), load_cost_us, soft_expiry_ms: 0 };
    let new = entry::value(epoch, new_token(), meta, &payload);
    Command::Swap { key, expect: entry::lease(token), new, ttl_ms: jittered(spec.ttl_ms) }
}

async fn send_fill<S: Executor>(db: &mut S, batch: Vec<Command>) {
    if batch.is_empty() {
        return;
    }
    let Ok(answer) = db.store(&batch).await else { return };
    for (command, reply) in batch.iter().zip(&answer.replies) {
        let event = match (command, reply) {
            (Command::Swap { .. }, Reply::Done(true)) => Event::Fill,
            (Command::Swap { .. }, _) => Event::RefusedFill,
            _ => continue,
        };
        db.cache().counters().add(event, 1);
    }
}

// Entries that were filled together would expire together.
fn jittered(ttl_ms: u64) -> u64 {
    let tenth = ttl_ms / 10;
    ttl_ms - tenth + fastrand::u64(0..=2 * tenth)
}

fn count<M, S: Executor>(db: &S, probe: &Probe<M>) {
    let event = match probe {
        Probe::Hit(_) => Event::Hit,
        Probe::Granted(_) => Event::Miss,
        Probe::Bypass => Event::Bypass,
    };
    db.cache().counters().add(event, 1);
}
