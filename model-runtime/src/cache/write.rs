//! A write's part in the protocol: intents before the commit, their release after it.
use super::codec::CacheSpec;
use super::entry::{Token, new_token};
use super::handle::Cache;
use super::keeper::Hold;
use super::observe::Event;
use super::outage::OutagePolicy;
use super::outbox;
use super::protocol::{Command, Reply};
use super::send::deletions;
use super::unplaced::Barred;
use crate::engine::{Executor, Scope};
use crate::error::{Error, Outcome, Result};
use crate::field::KeyCols;
use crate::model::{ModelSql, ModelState, SentryModel};
use crate::session::CacheOutcome;
use crate::session::Touched;
use std::sync::Arc;

/// How many keys go in one round trip: a bulk write must not outlast the store's time-out.
const BATCH: usize = 2048;

/// The intents of one commit.
#[derive(Debug)]
pub(crate) struct Intents {
    token: Token,
    keys: Arc<[String]>,
    placed: bool,
    /// Whether the store may drop them before their time.
    forgetful: bool,
    /// Dropped with these intents, however the write ends.
    hold: Option<Hold>,
    /// Taken away when the write ends.
    unfinished: Option<Cache>,
    /// Where they could not be placed: this process is served nothing under their keys until the write ends, and what is
    /// owed then is remembered; where its end is not known, until they would have expired.
    barred: Option<Barred>,
}

impl Intents {
    /// Whether a model may be written that is not written while the cache cannot be told.
    fn satisfy_who_refuses(&self) -> bool {
        self.placed && !self.forgetful
    }
}

impl Drop for Intents {
    /// A write that panics, is cancelled, or whose outcome is not known, leaves its intents to expire; then they are
    /// released, in case one was lost. Of those that could not be placed, the store is told as soon as it answers, and
    /// once more when they would have expired: the write may be committed in between.
    fn drop(&mut self) {
        if let Some(cache) = self.unfinished.take() {
            if !self.placed {
                cache.postpone(&self.keys);
            }
            cache.release_late(self.token, &self.keys, self.barred.take());
        }
        // After it is remembered what is owed.
        self.barred = None;
    }
}

/// What a statement does to the keys of its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touches {
    /// It changes or removes rows.
    Rows,
    /// It stores rows under keys that may be known as absent: rows are inserted, or changed.
    NewKeys,
}

impl Touches {
    /// Whether a statement needs a transaction around it, or a savepoint `inside` of one: so that the keys it returns are
    /// told to the cache, or stored, before it is committed.
    pub(crate) fn need_a_transaction<M: SentryModel>(self, inside: bool) -> bool {
        M::cache().is_some_and(|spec| match self {
            Self::Rows => {
                !inside && (spec.outage == OutagePolicy::Outbox || !ModelState::has_exact_key::<M>())
            }
            Self::NewKeys => spec.negative_ms > 0,
        })
    }
}

/// Whether absence is cached, so that the keys which a write makes are touched. Generated columns and triggers make keys
/// that no assignment names: the keys come from the stored row.
pub(crate) fn absence_is_cached<M: SentryModel>() -> bool {
    M::cache().is_some_and(|spec| spec.negative_ms > 0)
}

/// Whether the database may find a cached row by another spelling of its primary key than the stored one.
pub(crate) fn key_may_be_spelled_otherwise<M: SentryModel>() -> bool {
    M::cache().is_some() && !ModelState::has_exact_key::<M>()
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

/// Places an intent on every key and awaits the answer; without keys nothing is sent, nor for a model that is off now.
pub(crate) async fn place<S: Executor>(db: &mut S, keys: Vec<String>) -> Intents {
    let (token, keys) = (new_token(), Arc::<[String]>::from(db.cache().told(keys)));
    let lifetime_ms = db.cache().config().intent_ms;
    let hold = db.cache().hold(token, &keys);
    let command = |key: &String| Command::Place { key: key.clone(), token, lifetime_ms };
    let (mut placed, mut forgetful) = (true, false);
    for chunk in keys.chunks(BATCH) {
        match db.store(&chunk.iter().map(command).collect::<Vec<_>>()).await {
            Ok(answer) => forgetful |= answer.forgetful,
            Err(_) => placed = false,
        }
    }
    let barred = (!placed).then(|| db.cache().unplaced().bar(&keys));
    Intents { token, keys, placed, forgetful, hold, unfinished: Some(db.cache().clone()), barred }
}

/// Releases the intents of a write whose outcome is known; those of a lost answer stay until they expire.
pub(crate) async fn release<S: Executor>(
    db: &mut S,
    intents: Intents,
    unpoint: Vec<Command>,
    outcome: Outcome,
) {
    let told = let_go(db, intents, unpoint, outcome).await;
    db.transaction().note(told);
}

async fn let_go<S: Executor>(
    db: &mut S,
    mut intents: Intents,
    mut unpoint: Vec<Command>,
    outcome: Outcome,
) -> CacheOutcome {
    db.cache().retain_told(&mut unpoint, |command| match command {
        Command::Unpoint { pointer, .. } => pointer,
        _ => "",
    });
    let (token, placed, keys) = (intents.token, intents.placed, intents.keys.clone());
    if keys.is_empty() && unpoint.is_empty() {
        return CacheOutcome::Untouched;
    }
    // From here on they are not placed again.
    intents.hold = None;
    if outcome == Outcome::Unknown {
        // Those that could not be placed are owed when the intents are dropped.
        return if placed { CacheOutcome::LeftToExpire } else { CacheOutcome::Owed };
    }
    let mut batch: Vec<_> = keys.iter().map(|key| Command::Release { key: key.clone(), token }).collect();
    if outcome == Outcome::Done {
        batch.extend(unpoint);
    }
    for chunk in batch.chunks(BATCH) {
        let Ok(answer) = db.store(chunk).await else {
            // Sent again before the cache is next asked anything.
            intents.unfinished = None;
            db.cache().postpone(&keys);
            return CacheOutcome::Owed;
        };
        let lost = chunk.iter().zip(&answer.replies).filter(|(command, reply)| {
            matches!(command, Command::Release { .. }) && **reply == Reply::Done(true)
        });
        db.cache().counters().add(Event::LostIntent, lost.count() as u64);
    }
    intents.unfinished = None;
    CacheOutcome::Told
}

/// Takes back what could be placed, because the write is refused.
async fn withdraw<S: Executor>(db: &mut S, intents: Intents, model: &'static str) -> Error {
    let reason = match intents.placed {
        true => {
            "Redis drops write intents first when memory is short (`maxmemory-policy volatile-ttl`); \
                 set `noeviction` or an LRU policy"
        }
        false => "the cache cannot be told of it; try again later",
    };
    release(db, intents, Vec::new(), Outcome::Refused).await;
    Error::Cache(format!("{model}: the write was refused (`outage = \"refuse\"`): {reason}"))
}

/// Places the intents of a transaction that is about to commit.
///
/// # Errors
/// [`Error::Cache`] where the cache does not answer and a touched model refuses to write then; what the database says
/// where keys go to the outbox. The transaction must be rolled back.
pub(crate) async fn place_touched<S: Executor>(
    db: &mut S,
    touched: Touched,
) -> Result<(Intents, Vec<Command>)> {
    let Touched { keys, unpoint, outbox, refuses } = touched;
    let outbox = db.cache().told(outbox.into_iter().collect());
    if !outbox.is_empty() {
        outbox::store(db, outbox.into_iter().collect()).await?;
    }
    let intents = place(db, keys.into_iter().collect()).await;
    match refuses.filter(|_| !intents.satisfy_who_refuses()) {
        Some(model) => Err(withdraw(db, intents, model).await),
        None => Ok((intents, unpoint)),
    }
}

/// Opens a statement that writes the row of `base`.
///
/// # Errors
/// [`Error::Cache`] where the cache does not answer and the model refuses to write then.
pub(crate) async fn open<M, S>(db: &mut S, base: &M) -> Result<Opened>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache() else { return Ok(Opened::Uncached) };
    let key = row_key(db, spec, base);
    match db.scope() {
        Scope::Autocommit => {
            let intents = place(db, vec![key]).await;
            match intents.satisfy_who_refuses() || spec.outage != OutagePolicy::Refuse {
                true => Ok(Opened::Placed(intents)),
                false => Err(withdraw(db, intents, M::NAME).await),
            }
        }
        Scope::Session => {
            db.transaction().touch::<M>(spec, vec![key]);
            Ok(Opened::Deferred)
        }
        Scope::Foreign => {
            place_and_leave::<M, S>(db, spec, vec![key]).await?;
            Ok(Opened::Left)
        }
    }
}

/// Closes it: `new` is the row as stored, `None` where it is gone.
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
///
/// # Errors
/// As [`open`].
pub(crate) async fn touch<M, S>(db: &mut S, row: &M) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache() else { return Ok(()) };
    let key = row_key(db, spec, row);
    touch_entries::<M, S>(db, spec, vec![key]).await
}

/// A statement stored this row, whose keys may have been known as absent.
///
/// # Errors
/// As [`open`].
pub(crate) async fn touch_new<M, S>(db: &mut S, row: &M) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache().filter(|spec| spec.negative_ms > 0) else { return Ok(()) };
    let pointers = spec.lookups.iter().filter(|lookup| !(lookup.is_null)(row));
    let mut entries: Vec<_> = pointers.map(|lookup| db.cache().key::<M>(&(lookup.text_of)(row))).collect();
    entries.push(row_key(db, spec, row));
    touch_entries::<M, S>(db, spec, entries).await
}

/// A statement inside a transaction wrote the rows with these primary keys.
///
/// # Errors
/// As [`open`].
pub(crate) async fn touch_keys<M, S>(db: &mut S, keys: &[<M::Pk as KeyCols>::Key]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(spec) = M::cache() else { return Ok(()) };
    let entries: Vec<_> = keys.iter().map(|key| db.cache().key::<M>(&(spec.text)(key))).collect();
    touch_entries::<M, S>(db, spec, entries).await
}

/// Deletes the entries of keys whose statements may have been committed outside the transaction they were meant for.
/// Where the store does not answer, it is told later.
pub(crate) async fn forget<S: Executor>(db: &mut S, keys: Vec<String>) {
    for chunk in deletions(&keys).chunks(BATCH) {
        if db.store(chunk).await.is_err() {
            return db.cache().postpone(&keys);
        }
    }
}

/// Tells the cache of rows that others wrote.
///
/// # Errors
/// [`Error::Cache`] where it does not answer; it is told later.
pub(crate) async fn invalidate<M, S>(db: &mut S, entries: Vec<String>) -> Result<()>
where
    M: SentryModel,
    S: Executor,
{
    let Some(spec) = M::cache() else { return Ok(()) };
    let entries = db.cache().told(entries);
    if db.scope() != Scope::Autocommit {
        return touch_entries::<M, S>(db, spec, entries).await;
    }
    for chunk in deletions(&entries).chunks(BATCH) {
        if let Err(error) = db.store(chunk).await {
            db.cache().postpone(&entries);
            return Err(Error::Cache(format!(
                "{}: the cache is told later of what others wrote: {error}",
                M::NAME
            )));
        }
    }
    Ok(())
}

async fn touch_entries<M, S>(db: &mut S, spec: &'static CacheSpec<M>, entries: Vec<String>) -> Result<()>
where
    M: SentryModel,
    S: Executor,
{
    match db.scope() {
        Scope::Session => {
            db.transaction().touch::<M>(spec, entries);
            Ok(())
        }
        Scope::Foreign | Scope::Autocommit => place_and_leave::<M, S>(db, spec, entries).await,
    }
}

// The commit is not ours to see, so the outcome counts as unknown: the row stays uncached until the intents
// expire.
async fn place_and_leave<M, S>(db: &mut S, spec: &'static CacheSpec<M>, keys: Vec<String>) -> Result<()>
where
    M: SentryModel,
    S: Executor,
{
    let keys = db.cache().told(keys);
    if spec.outage == OutagePolicy::Outbox {
        outbox::store(db, keys.iter().cloned().collect()).await?;
    }
    let intents = place(db, keys).await;
    if !intents.satisfy_who_refuses() && spec.outage == OutagePolicy::Refuse {
        return Err(withdraw(db, intents, M::NAME).await);
    }
    release(db, intents, Vec::new(), Outcome::Unknown).await;
    Ok(())
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
                let old = (lookup.text_of)(base);
                let gone = new.is_none_or(|new| (lookup.text_of)(new) != old);
                gone.then(|| db.cache().key::<M>(&old))
            },
        );
    moved.map(|pointer| Command::Unpoint { pointer, target: row_key.to_owned() }).collect()
}

fn row_key<M: SentryModel, S: Executor>(db: &S, spec: &'static CacheSpec<M>, row: &M) -> String {
    db.cache().key::<M>(&(spec.text_of)(row))
}
