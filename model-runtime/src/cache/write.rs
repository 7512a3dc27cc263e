//! A write's part in the protocol: intents before the commit, their release after it.
use super::codec::CacheSpec;
use super::entry::{Token, new_token};
use super::observe::Event;
use super::protocol::{Command, Reply};
use crate::engine::{Executor, Scope};
use crate::error::Outcome;
use crate::field::KeyCols;
use crate::model::{ModelSql, SentryModel};

/// How many keys go in one round trip: a bulk write must not outlast the store's time-out.
const BATCH: usize = 2048;

/// The intents of one commit.
#[derive(Debug)]
pub(crate) struct Intents {
    token: Token,
    keys: Vec<String>,
    placed: bool,
}

/// What opening a single statement did.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The model is not cached.
    Uncached,
    /// The intents are in place, and the statement's end releases them.
    Placed(Intents),
    /// The session's transaction carries the key until its commit.
    Deferred,
    /// The intents are in place until they expire: the commit is not ours to see.
    Left,
}

/// Places an intent on every key and awaits the answer; without keys nothing is sent.
pub(crate) async fn place<S: Executor>(db: &mut S, keys: Vec<String>) -> Intents {
    let token = new_token();
    let lifetime_ms = db.cache().config().intent_ms;
    let command = |key: &String| Command::Place { key: key.clone(), token, lifetime_ms };
    let batch: Vec<_> = keys.iter().map(command).collect();
    let mut placed = true;
    for chunk in batch.chunks(BATCH) {
        placed &= db.store(chunk).await.is_ok();
    }
    Intents { token, keys, placed }
}

/// Releases the intents of a write whose outcome is known; those of a lost answer stay until they expire.
pub(crate) async fn release<S: Executor>(
    db: &mut S,
    intents: Intents,
    unpoint: Vec<Command>,
    outcome: Outcome,
) {
    let Intents { token, keys, placed } = intents;
    if outcome == Outcome::Unknown {
        if !placed {
            db.cache().postpone(keys);
        }
        return;
    }
    let mut batch: Vec<_> = keys.iter().map(|key| Command::Release { key: key.clone(), token }).collect();
    if outcome == Outcome::Done {
        batch.extend(unpoint);
    }
    for chunk in batch.chunks(BATCH) {
        let Ok(answer) = db.store(chunk).await else {
            // Sent again before the cache is next asked anything.
            return db.cache().postpone(keys);
        };
        let lost = chunk.iter().zip(&answer.replies).filter(|(command, reply)| {
            matches!(command, Command::Release { .. }) && **reply == Reply::Done(true)
        });
        db.cache().counters().add(Event::LostIntent, lost.count() as u64);
    }
}

/// Opens a statement that writes the row of `base`.
pub(crate) async fn open<M, S>(db: &mut S, base: &M) -> Opened
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache() else { return Opened::Uncached };
    let key = row_key(db, spec, base);
    match db.scope() {
        Scope::Autocommit => Opened::Placed(place(db, vec![key]).await),
        Scope::Session => {
            db.transaction().touch(key);
            Opened::Deferred
        }
        Scope::Foreign => {
            place_and_leave(db, vec![key]).await;
            Opened::Left
        }
    }
}

/// Closes it: `new` is the row as stored, `None` where it is gone. Where the primary key changed, its new entry
/// needs no intent: no row was there, and absence is not cached.
pub(crate) async fn close<M, S>(
    db: &mut S,
    opened: Opened,
    base: &M,
    new: Option<&M>,
    mask: u64,
    outcome: Outcome,
) where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache() else { return };
    let unpoint = old_pointers(db, spec, base, new, mask, &row_key(db, spec, base));
    match opened {
        Opened::Placed(intents) => release(db, intents, unpoint, outcome).await,
        Opened::Deferred => db.transaction().unpoint(unpoint),
        Opened::Uncached | Opened::Left => {}
    }
}

/// A statement inside a transaction wrote this row; its keys come from what the statement returned.
pub(crate) async fn touch<M, S>(db: &mut S, row: &M)
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache() else { return };
    let key = row_key(db, spec, row);
    match db.scope() {
        Scope::Session => db.transaction().touch(key),
        Scope::Foreign | Scope::Autocommit => place_and_leave(db, vec![key]).await,
    }
}

/// A statement inside a transaction wrote the rows with these primary keys.
pub(crate) async fn touch_keys<M, S>(db: &mut S, keys: &[<M::Pk as KeyCols>::Key])
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache() else { return };
    let entries: Vec<_> = keys.iter().map(|key| db.cache().key(M::NAME, &(spec.texts)(key))).collect();
    match db.scope() {
        Scope::Session => entries.into_iter().for_each(|entry| db.transaction().touch(entry)),
        Scope::Foreign | Scope::Autocommit => place_and_leave(db, entries).await,
    }
}

// The commit is not ours to see, so the outcome counts as unknown: the row stays uncached until the intents
// expire.
async fn place_and_leave<S: Executor>(db: &mut S, keys: Vec<String>) {
    let intents = place(db, keys).await;
    release(db, intents, Vec::new(), Outcome::Unknown).await;
}

/// The pointers that led to the row and no longer do. Hygiene only: every reader checks the row it finds.
fn old_pointers<M, S>(
    db: &S,
    spec: &'static CacheSpec<M>,
    base: &M,
    new: Option<&M>,
    mask: u64,
    row_key: &str,
) -> Vec<Command>
where
    M: SentryModel,
    S: Executor,
{
    let moved =
        spec.lookups.iter().filter(|lookup| lookup.mask & mask != 0 && !(lookup.is_null)(base)).filter_map(
            |lookup| {
                let old = (lookup.texts)(base);
                let gone = new.is_none_or(|new| (lookup.texts)(new) != old);
                gone.then(|| db.cache().key(M::NAME, &old))
            },
        );
    moved.map(|pointer| Command::Unpoint { pointer, target: row_key.to_owned() }).collect()
}

fn row_key<M: SentryModel, S: Executor>(db: &S, spec: &'static CacheSpec<M>, row: &M) -> String {
    db.cache().key(M::NAME, &(spec.key)(row))
}
