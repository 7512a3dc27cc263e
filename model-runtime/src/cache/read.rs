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

/// Looks for the row entry `key`: one round trip for a hit, a second one for a lease.
pub(crate) async fn row<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    key: String,
) -> Probe<M> {
    let Ok(Answer { epoch, mut replies }) = db.store(&[Command::Get { key: key.clone() }]).await else {
        return bypass(db);
    };
    let Some(Reply::Entry(found)) = replies.pop() else { return bypass(db) };
    let probe = claim(db, spec, key, found.as_deref(), epoch).await;
    count(db, &probe);
    probe
}

/// Follows the pointer `key`: one round trip for a hit.
pub(crate) async fn pointed<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    key: String,
    carries: impl Fn(&M) -> bool + Send,
) -> Pointed<M> {
    let Ok(Answer { epoch, mut replies }) = db.store(&[Command::Deref { pointer: key }]).await else {
        db.cache().counters().add(Event::Bypass, 1);
        return Pointed::Bypass;
    };
    let Some(Reply::Pair { pointer, row }) = replies.pop() else { return Pointed::Bypass };
    let target = match pointer.as_deref().map(entry::parse) {
        Some(Entry::Pointer { target }) => target.to_owned(),
        _ => {
            db.cache().counters().add(Event::Miss, 1);
            return Pointed::Nowhere;
        }
    };
    let probe = claim(db, spec, target, row.as_deref(), epoch).await;
    match probe {
        Probe::Hit(row) if !carries(&row) => {
            db.cache().counters().add(Event::StalePointer, 1);
            db.cache().counters().add(Event::Miss, 1);
            Pointed::Nowhere
        }
        probe => {
            count(db, &probe);
            match probe {
                Probe::Hit(row) => Pointed::Hit(row),
                Probe::Granted(lease) => Pointed::Granted(lease),
                Probe::Bypass => Pointed::Bypass,
            }
        }
    }
}

/// Stores the row that the database answered under the lease; without a row the lease is given back.
pub(crate) async fn fill<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    lease: Lease,
    row: Option<&M>,
) {
    let command = filling(spec, lease, row);
    send_fill(db, vec![command]).await;
}

/// Points the pointer `key` at the row that the database answered, and fills the row if the lease is its own.
pub(crate) async fn repoint<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    pointer: String,
    lease: Option<Lease>,
    row: Option<&M>,
) {
    let mut batch = Vec::with_capacity(2);
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
    send_fill(db, batch).await;
}

/// Decodes a hit, or takes the lease of a vacant or replaceable entry.
async fn claim<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    key: String,
    found: Option<&[u8]>,
    epoch: Epoch,
) -> Probe<M> {
    let fingerprint = ModelState::fingerprint::<M>();
    let expect = match protocol::look(found, epoch, fingerprint) {
        Sight::Hit { payload, .. } => match spec.decoded(payload) {
            Ok(row) => return Probe::Hit(row),
            Err(error) => {
                tracing::warn!(model = M::NAME, %error, "an undecodable entry is replaced");
                db.cache().counters().add(Event::Healed, 1);
                found.map(|bytes| bytes.iter().take(HEADER).copied().collect())
            }
        },
        Sight::Replace { expect } => {
            db.cache().counters().add(Event::EpochMiss, 1);
            Some(expect)
        }
        Sight::Vacant => None,
        Sight::Busy => return Probe::Bypass,
    };
    match expect {
        Some(expect) => take_over(db, key, expect).await,
        None => lease(db, spec, key).await,
    }
}

async fn lease<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    key: String,
) -> Probe<M> {
    let token = new_token();
    let command = Command::Lease { key: key.clone(), token, ttl_ms: db.cache().config().lease_ms };
    let Ok(Answer { epoch, mut replies }) = db.store(&[command]).await else { return Probe::Bypass };
    let Some(Reply::Entry(previous)) = replies.pop() else { return Probe::Bypass };
    let fingerprint = ModelState::fingerprint::<M>();
    match protocol::after_lease(previous.as_deref(), &token, epoch, fingerprint) {
        Sight::Vacant => Probe::Granted(Lease { key, token, epoch, granted: Instant::now() }),
        // Another reader filled it between the look and the lease.
        Sight::Hit { payload, .. } => spec.decoded(payload).map_or(Probe::Bypass, Probe::Hit),
        Sight::Replace { expect } => take_over(db, key, expect).await,
        Sight::Busy => Probe::Bypass,
    }
}

/// Replaces a value that is of no use by a lease, if it still stands there.
async fn take_over<M: SentryModel, S: Executor>(db: &mut S, key: String, expect: Vec<u8>) -> Probe<M> {
    let token = new_token();
    let ttl_ms = db.cache().config().lease_ms;
    let swap = Command::Swap { key: key.clone(), expect, new: entry::lease(token), ttl_ms };
    match db.store(&[swap]).await {
        Ok(answer) if answer.replies == [Reply::Done(true)] => {
            Probe::Granted(Lease { key, token, epoch: answer.epoch, granted: Instant::now() })
        }
        _ => Probe::Bypass,
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

fn bypass<M, S: Executor>(db: &S) -> Probe<M> {
    db.cache().counters().add(Event::Bypass, 1);
    Probe::Bypass
}

fn count<M, S: Executor>(db: &S, probe: &Probe<M>) {
    let event = match probe {
        Probe::Hit(_) => Event::Hit,
        Probe::Granted(_) => Event::Miss,
        Probe::Bypass => Event::Bypass,
    };
    db.cache().counters().add(event, 1);
}
