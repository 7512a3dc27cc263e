//! Storing what the database answered, under the leases that were taken before it was asked.
use super::{Grant, Lease, wall_ms};
use crate::cache::codec::{CacheSpec, MAX_ROW_BYTES};
use crate::cache::entry::{self, Meta, new_token};
use crate::cache::observe::Event;
use crate::cache::phase::Rules;
use crate::cache::protocol::{Command, Reply};
use crate::engine::Executor;
use crate::model::{ModelState, SentryModel};

/// What the database answered to one lookup.
#[derive(Debug)]
pub(crate) struct Answered<'r, M> {
    pub(crate) grant: Grant,
    /// The pointer's key, where the lookup went by one.
    pub(crate) pointer: Option<String>,
    pub(crate) row: Option<&'r M>,
}

/// Fills rows and sets pointers, in one round trip; leases that are of no use are given back.
pub(crate) async fn fill<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    answers: Vec<Answered<'_, M>>,
) {
    // Asked again: the phase may have changed since the lookup began.
    let rules = db.cache().rules(spec);
    let mut batch = Vec::with_capacity(2 * answers.len());
    if !rules.reads {
        batch.extend(answers.into_iter().flat_map(|answered| given_back(answered.grant)));
        return send::<M, S>(db, batch).await;
    }
    for Answered { grant, pointer, row } in answers {
        match pointer {
            None => {
                let own = |row: &&M| db.cache().key::<M>(&(spec.text_of)(row));
                batch.extend(grant.row.map(|lease| match row {
                    // A collation finds a row by another spelling than its own; its writers know only their own.
                    Some(row) if own(&row) != lease.key => {
                        Command::Release { key: lease.key, token: new_token() }
                    }
                    row => filling(spec, rules, lease, row),
                }));
            }
            Some(pointer) => repoint(db, spec, rules, grant, (pointer, row), &mut batch),
        }
    }
    send::<M, S>(db, batch).await;
}

/// The leases of a lookup that may fill no more.
fn given_back(grant: Grant) -> impl Iterator<Item = Command> {
    let leases = [grant.row, grant.pointer].into_iter().flatten();
    leases.map(|lease| Command::Release { key: lease.key, token: new_token() })
}

/// Points the pointer at the row that the database answered, and fills the row where the lease is its own.
fn repoint<M: SentryModel, S: Executor>(
    db: &S,
    spec: &CacheSpec<M>,
    rules: Rules,
    grant: Grant,
    (pointer, row): (String, Option<&M>),
    batch: &mut Vec<Command>,
) {
    let target = row.map(|row| db.cache().key::<M>(&(spec.text_of)(row)));
    if let Some(lease) = grant.row {
        if target.is_none() {
            batch.push(Command::Unpoint { pointer: pointer.clone(), target: lease.key.clone() });
        }
        match row.filter(|_| target.as_ref() == Some(&lease.key)) {
            Some(row) => batch.push(filling(spec, rules, lease, Some(row))),
            None => batch.push(Command::Release { key: lease.key, token: new_token() }),
        }
    }
    let ttl_ms = jittered(spec.ttl_ms, spec.jitter_percent);
    match (grant.pointer, target) {
        (Some(lease), Some(target)) => {
            let Lease { key, expect, .. } = lease;
            batch.push(Command::Swap { key, expect, new: entry::pointer(&target), ttl_ms });
        }
        (Some(lease), None) => batch.push(filling(spec, rules, lease, None)),
        (None, Some(target)) => batch.push(Command::Point { pointer, target, ttl_ms }),
        (None, None) => {}
    }
}

/// The row under its lease; without one its absence, where that is cached, else the lease is given back.
fn filling<M: SentryModel>(spec: &CacheSpec<M>, rules: Rules, lease: Lease, row: Option<&M>) -> Command {
    let Lease { key, expect, epoch, granted } = lease;
    let fingerprint = ModelState::fingerprint::<M>();
    let Some(row) = row else {
        return match rules.absences {
            false => Command::Release { key, token: new_token() },
            true => {
                let new = entry::absent(epoch, new_token(), fingerprint);
                Command::Swap { key, expect, new, ttl_ms: jittered(spec.negative_ms, spec.jitter_percent) }
            }
        };
    };
    let payload = match spec.encoded(row) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::warn!(model = M::NAME, %error, limit = MAX_ROW_BYTES, "a row is not cached");
            return Command::Release { key, token: new_token() };
        }
    };
    #[cfg(feature = "metrics")]
    metrics::histogram!("model_cache_load_seconds", "model" => M::NAME).record(granted.elapsed());
    let ttl_ms = jittered(spec.ttl_ms, spec.jitter_percent);
    let load_cost_us = u32::try_from(granted.elapsed().as_micros()).unwrap_or(u32::MAX);
    let meta = Meta { fingerprint, load_cost_us, soft_expiry_ms: wall_ms().saturating_add(ttl_ms) };
    Command::Swap { key, expect, new: entry::value(epoch, new_token(), meta, &payload), ttl_ms }
}

async fn send<M: SentryModel, S: Executor>(db: &mut S, batch: Vec<Command>) {
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
        db.cache().counters().add_of(M::NAME, event, 1);
    }
}

// Entries that were filled together would expire together.
fn jittered(ttl_ms: u64, percent: u8) -> u64 {
    let share = ttl_ms / 100 * u64::from(percent) + ttl_ms % 100 * u64::from(percent) / 100;
    (ttl_ms - share + fastrand::u64(0..=2 * share)).max(1)
}
