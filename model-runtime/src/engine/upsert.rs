//! Update, else insert, else update again; and the lookup that inserts.
use super::bulk::touch_stored;
use super::lock::{check_hits, lock_database};
use super::transaction::Unit;
use super::write::{Verb, filled, insert_in_savepoint, insert_unless_there, overflow};
use super::{Executor, Scope, hooks, read};
use crate::cache::write::{self, Touches};
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::hooks::Write;
use crate::model::{ModelSql, SentryModel};
use crate::operation::CreateOrUpdate;
use crate::statement::{Assignments, Dialect, Guarded, Purpose, Statement};
use crate::tracked::Tracked;

/// How often an upsert that a deadlock ended is run again: on MySQL, writers that insert the same key at once lock
/// each other out, all but one.
const RETRIES: u32 = 32;

/// Updates the rows that match `lookup`, or inserts one.
///
/// An UPDATE comes first: an INSERT that meets a row uses up a number of its sequence, and must have a value for
/// every column that has no default.
pub(crate) async fn create_or_update<M, S>(
    db: &mut S,
    lookup: &M::Patch,
    mut defaults: M::Patch,
    on_insert: M::Patch,
) -> Result<CreateOrUpdate<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    check_lookup::<M, S>(lookup, "create_or_update")?;
    hooks::before::<M>(&mut defaults, Write::Update)?;
    check_moves::<M, S>(&defaults)?;
    if !is_one_unit::<M, S>(db, lookup, &defaults)? {
        return attempt(db, lookup, &defaults, &on_insert).await;
    }
    let mut again = if db.scope() == Scope::Autocommit { RETRIES } else { 0 };
    loop {
        let unit = Unit::begin(db).await?;
        let done = attempt(db, lookup, &defaults, &on_insert).await;
        match unit.end(db, done).await {
            // The transaction is this call's own, so that it can be run again.
            Err(Error::Deadlock(_)) if again > 0 => again -= 1,
            done => return done,
        }
    }
}

/// Whether the statements must stand or fall together: bounds may refuse some rows of several, the keys of updated rows
/// must be known before they are committed, and inside a transaction what is handled as an error must have left nothing.
fn is_one_unit<M, S>(db: &mut S, lookup: &M::Patch, defaults: &M::Patch) -> Result<bool>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let (mut sets, mut wheres) = (
        Assignments::<S::Backend>::new::<M>(Purpose::Update),
        Assignments::<S::Backend>::new::<M>(Purpose::Update),
    );
    M::visit(defaults, &mut sets)?;
    M::visit(lookup, &mut wheres)?;
    let refuses_some = !sets.guards.is_empty() && !names_one_row::<M>(wheres.mask());
    Ok(refuses_some || M::cache().is_some() || db.scope() != Scope::Autocommit)
}

async fn attempt<M, S>(
    db: &mut S,
    lookup: &M::Patch,
    defaults: &M::Patch,
    on_insert: &M::Patch,
) -> Result<CreateOrUpdate<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let rows = update_matching::<M, S>(db, lookup, defaults, Presence::Unknown).await?;
    if rows > 0 {
        return Ok(CreateOrUpdate::Updated(rows));
    }
    let mut patch = M::merge(lookup.clone(), M::merge(on_insert.clone(), defaults.clone()));
    hooks::before::<M>(&mut patch, Write::Insert)?;
    let patch = filled::<M, S>(db, patch);
    if let Some(row) = insert_unless_there::<M, S>(db, &patch).await? {
        return Ok(CreateOrUpdate::Created(row));
    }
    // Another writer inserted it in between, so that now there is a row to update.
    match update_matching::<M, S>(db, lookup, defaults, Presence::Certain).await? {
        0 => {
            insert_at_last::<M, S>(db, lookup, &patch, "create_or_update").await.map(CreateOrUpdate::Created)
        }
        rows => Ok(CreateOrUpdate::Updated(rows)),
    }
}

/// Another unique key than the lookup's stands in the way; which one, the database says where it is not told to
/// pass over it.
async fn insert_at_last<M, S>(
    db: &mut S,
    lookup: &M::Patch,
    patch: &M::Patch,
    call: &str,
) -> Result<Tracked<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    insert_in_savepoint::<M, S>(db, patch).await.map_err(|error| match error.is_unique_violation() {
        true => Error::Query(format!(
            "{}: {call}({}) neither found nor created a row: another unique key stands in the way: {error}",
            M::NAME,
            names::<M, S>(lookup),
        )),
        false => error,
    })
}

/// Returns the row that matches `lookup` and whether it was inserted.
pub(crate) async fn get_or_create<M, S>(
    db: &mut S,
    lookup: &M::Patch,
    defaults: M::Patch,
) -> Result<(Tracked<M>, bool)>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    check_lookup::<M, S>(lookup, "get_or_create")?;
    if let Some(row) = find(db, lookup).await? {
        return Ok((Tracked::stored(row), false));
    }
    let mut patch = M::merge(lookup.clone(), defaults);
    hooks::before::<M>(&mut patch, Write::Insert)?;
    let patch = filled::<M, S>(db, patch);
    // The transaction, if one is needed, is of the INSERT alone: a second look must see what others committed.
    let inside = db.scope() != Scope::Autocommit;
    let together = inside || Touches::NewKeys.need_a_transaction::<M>(inside);
    let unit = Unit::begin_if(together, db).await?;
    let done = insert_unless_there::<M, S>(db, &patch).await;
    if let Some(row) = unit.end(db, done).await? {
        return Ok((row, true));
    }
    // The row stood in the way; a snapshot may be older than it.
    match find_locked::<M, S>(db, lookup).await? {
        Some(row) => Ok((Tracked::stored(row), false)),
        None => {
            let row = insert_at_last::<M, S>(db, lookup, &patch, "get_or_create").await?;
            Ok((row, true))
        }
    }
}

async fn find<M, S>(db: &mut S, lookup: &M::Patch) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let rows = matching::<M, S>(db, lookup, "").await?;
    one_at_most::<M, S>(rows, lookup)
}

/// The row as a write sees it.
async fn find_locked<M, S>(db: &mut S, lookup: &M::Patch) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    // With RETURNING a snapshot that is older than the row has made the INSERT fail.
    let locking = if S::Backend::RETURNING { "" } else { S::Backend::LOCKING };
    let rows = matching::<M, S>(db, lookup, locking).await?;
    one_at_most::<M, S>(rows, lookup)
}

fn one_at_most<M, S>(mut rows: Vec<M>, lookup: &M::Patch) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if rows.len() > 1 {
        let (count, names) = (rows.len(), names::<M, S>(lookup));
        return Err(Error::Query(format!("{}: {count} rows match ({names}); one at most may", M::NAME)));
    }
    Ok(rows.pop())
}

/// Whether a row is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Unknown,
    /// It stood in the way of an INSERT; a look without a lock may not see it yet.
    Certain,
}

async fn update_matching<M, S>(
    db: &mut S,
    lookup: &M::Patch,
    defaults: &M::Patch,
    presence: Presence,
) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut wheres = Assignments::new::<M>(Purpose::Update);
    M::visit(lookup, &mut wheres)?;
    if is_empty::<M, S>(defaults)? {
        // Nothing to write, not even a timestamp: it is a get-or-create, which counts what it finds.
        let locks = presence == Presence::Certain && !S::Backend::RETURNING;
        let select = read::select::<M, S>(wheres).sql(if locks { S::Backend::LOCKING } else { "" });
        return Ok(db.rows::<M>(select).await?.len());
    }
    let mut defaults = defaults.clone();
    M::auto_now(&mut defaults, db.now());
    let mut sets = Assignments::new::<M>(Purpose::Update);
    M::visit(&defaults, &mut sets)?;
    let one_row = names_one_row::<M>(wheres.mask());
    let shape = sets.shape() ^ wheres.matching_shape() ^ Verb::Upsert as u64;
    let guards = std::mem::take(&mut sets.guards);
    let (statement, old) = Statement::update::<M>(sets);
    let statement = statement
        .matching(wheres.pairs, old)
        .guards(&guards, old)
        .stays_prepared(M::state().shapes.admit(shape));
    // Nobody asks for the keys of rows that are not cached.
    let counted = M::cache().is_none() && (guards.is_empty() || one_row);
    // Inside a transaction an UPDATE of no row would keep a lock that stands in the way of inserts.
    if counted && (S::Backend::RETURNING || db.scope() == Scope::Autocommit) {
        let hit = db.count(statement).await.map_err(|error| overflow(error, &guards))?;
        if hit == 0 {
            refuse::<M, S>(db, lookup, &guards).await?;
        }
        return Ok(hit);
    }
    match S::Backend::RETURNING {
        true => update_returning::<M, S>(db, statement, lookup, &guards, one_row).await,
        // Nothing is locked before there is a row: the lock of a gap stands in the way of every insert beside it.
        false if presence == Presence::Unknown && matching::<M, S>(db, lookup, "").await?.is_empty() => Ok(0),
        false => update_locked::<M, S>(db, statement, lookup, &guards, one_row).await,
    }
}

/// The statement names the rows; where bounds guard it, they are locked and checked before, unless there is one at most,
/// which then was written or refused.
async fn update_returning<M, S>(
    db: &mut S,
    statement: Statement<'_, S::Backend>,
    lookup: &M::Patch,
    guards: &[Guarded<'_, S::Backend>],
    one_row: bool,
) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if !one_row && !guards.is_empty() {
        match S::Backend::LOCKS_ROWS {
            true => drop(matching::<M, S>(db, lookup, S::Backend::LOCKING).await?),
            false => lock_database::<M, S>(db).await?,
        }
        refuse::<M, S>(db, lookup, guards).await?;
    }
    let rows: Vec<M> = db.rows(statement.returning::<M>()).await.map_err(|error| overflow(error, guards))?;
    touch_updated::<M, S>(db, &rows).await?;
    if one_row && rows.is_empty() {
        refuse::<M, S>(db, lookup, guards).await?;
    }
    Ok(rows.len())
}

/// The rows are locked before, where the statement returns none.
async fn update_locked<M, S>(
    db: &mut S,
    statement: Statement<'_, S::Backend>,
    lookup: &M::Patch,
    guards: &[Guarded<'_, S::Backend>],
    one_row: bool,
) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let locked = matching::<M, S>(db, lookup, S::Backend::LOCKING).await?;
    for row in &locked {
        write::touch::<M, S>(db, row).await?;
    }
    if !one_row {
        refuse::<M, S>(db, lookup, guards).await?;
    }
    let hit = db.count(statement).await.map_err(|error| overflow(error, guards))?;
    if hit < locked.len() {
        refuse::<M, S>(db, lookup, guards).await?;
    }
    check_hits::<M>(hit, locked.len())?;
    touch_updated::<M, S>(db, &locked).await?;
    Ok(hit)
}

/// These rows were written.
async fn touch_updated<M, S>(db: &mut S, rows: &[M]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    for row in rows {
        write::touch::<M, S>(db, row).await?;
    }
    match write::absence_is_cached::<M>() {
        true => touch_stored::<M, S>(db, &rows.iter().map(M::Pk::of).collect::<Vec<_>>()).await,
        false => Ok(()),
    }
}

async fn matching<M, S>(db: &mut S, lookup: &M::Patch, locking: &'static str) -> Result<Vec<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut pairs = Assignments::new::<M>(Purpose::Update);
    M::visit(lookup, &mut pairs)?;
    db.rows(read::select::<M, S>(pairs).sql(locking)).await
}

/// Whether a lookup by the fields of `mask` holds a unique key: the primary key, or one that is cached.
fn names_one_row<M: SentryModel>(mask: u64) -> bool {
    let cached = M::cache().map_or(&[][..], |spec| spec.lookups);
    let mut unique = cached.iter().map(|lookup| lookup.mask).chain([M::Pk::MASK]);
    unique.any(|key| mask & key == key)
}

/// An error where a bound refuses one of the rows that match.
async fn refuse<M, S>(db: &mut S, lookup: &M::Patch, guards: &[Guarded<'_, S::Backend>]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if guards.is_empty() || !refuses::<M, S>(db, lookup, guards).await? {
        return Ok(());
    }
    // Which of them?
    for guard in guards {
        if refuses::<M, S>(db, lookup, std::slice::from_ref(guard)).await? {
            return Err(guard.refused());
        }
    }
    guards.first().map_or(Ok(()), |guard| Err(guard.refused()))
}

/// Whether a matching row does not meet one of the guards, as a write sees it.
async fn refuses<M, S>(db: &mut S, lookup: &M::Patch, guards: &[Guarded<'_, S::Backend>]) -> Result<bool>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut pairs = Assignments::new::<M>(Purpose::Update);
    M::visit(lookup, &mut pairs)?;
    let statement = read::select::<M, S>(pairs).refused_by(guards).sql(S::Backend::LOCKING);
    let refused: Vec<M> = db.rows(statement).await.map_err(|error| overflow(error, guards))?;
    Ok(!refused.is_empty())
}

fn check_lookup<M, S>(lookup: &M::Patch, call: &str) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    match is_empty::<M, S>(lookup)? {
        true => Err(Error::Query(format!(
            "{}: {call} has no lookup and would match every row; set the fields to look up before `.defaults`",
            M::NAME
        ))),
        false => Ok(()),
    }
}

/// The keys of updated rows come from the statement, which names rows that moved by their new keys: their old entries
/// would stay.
fn check_moves<M, S>(defaults: &M::Patch) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    match M::cache().is_some() && mask_of::<M, S>(defaults)? & M::Pk::MASK != 0 {
        true => Err(Error::Query(format!(
            "{}: create_or_update cannot assign the primary key to cached rows that are there; give it in `on_insert`",
            M::NAME
        ))),
        false => Ok(()),
    }
}

fn is_empty<M, S>(patch: &M::Patch) -> Result<bool>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    Ok(mask_of::<M, S>(patch)? == 0)
}

/// Bit *i* is set where field *i* is assigned.
fn mask_of<M, S>(patch: &M::Patch) -> Result<u64>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut pairs = Assignments::<S::Backend>::new::<M>(Purpose::Update);
    M::visit(patch, &mut pairs)?;
    Ok(pairs.mask())
}

fn names<M, S>(lookup: &M::Patch) -> String
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut pairs = Assignments::<S::Backend>::new::<M>(Purpose::Update);
    let _ = M::visit(lookup, &mut pairs);
    pairs.pairs.iter().map(|pair| pair.column).collect::<Vec<_>>().join(", ")
}
