//! Writes of one row: insert, update, delete.
use super::bulk::touch_stored;
use super::transaction::Unit;
use super::{Executor, Scope, hooks, reread};
use crate::cache::write::{self, Touches};
use crate::error::{Error, Outcome, Result};
use crate::field::KeyCols;
use crate::hooks::Write;
use crate::model::{ModelSql, SentryModel};
use crate::statement::{Assignments, Dialect, Guarded, Purpose, SqlSet, Statement};
use crate::tracked::Tracked;

/// Inserts a row and returns it as stored.
///
/// An intent is placed only where absence is cached: else a row that did not exist has no entry.
pub(crate) async fn insert<M, S>(db: &mut S, mut patch: M::Patch) -> Result<Tracked<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    hooks::before::<M>(&mut patch, Write::Insert)?;
    let patch = filled::<M, S>(db, patch);
    let unit = Unit::around::<M, S>(db, Touches::NewKeys).await?;
    let done = insert_filled::<M, S>(db, &patch).await;
    let row = unit.end(db, done).await?;
    Ok(inserted(db, row))
}

/// Takes note of a row that was just inserted.
fn inserted<M: SentryModel, S: Executor>(db: &mut S, row: M) -> Tracked<M> {
    hooks::saved(db, &row, Write::Insert, u64::MAX);
    let mut stored = Tracked::stored(row);
    stored.inserted(db.transaction().node());
    stored
}

/// Inserts a row unless a unique key stands in the way; `None` where one does.
pub(super) async fn insert_unless_there<M, S>(db: &mut S, patch: &M::Patch) -> Result<Option<Tracked<M>>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let Some(unless_there) = S::Backend::UNLESS_THERE else {
        return match insert_in_savepoint::<M, S>(db, patch).await {
            Err(error) if error.is_unique_violation() => Ok(None),
            inserted => inserted.map(Some),
        };
    };
    let mut values = Assignments::new::<M>(Purpose::Insert);
    M::visit(patch, &mut values)?;
    let kept = M::state().shapes.admit(values.shape() ^ Verb::InsertUnlessThere as u64);
    let statement =
        Statement::new().stays_prepared(kept).sql("INSERT INTO ").table::<M>().values(vec![values.pairs]);
    let rows = db.rows(statement.sql(unless_there).returning::<M>()).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    touch_made(db, std::slice::from_ref(&row)).await?;
    Ok(Some(inserted(db, row)))
}

/// Inserts a row, whose failure leaves a surrounding transaction usable. Outside one the statement is its own.
pub(super) async fn insert_in_savepoint<M, S>(db: &mut S, patch: &M::Patch) -> Result<Tracked<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let inside = db.scope() != Scope::Autocommit;
    if !inside && !Touches::NewKeys.need_a_transaction::<M>(inside) {
        return insert_filled::<M, S>(db, patch).await.map(|row| inserted(db, row));
    }
    // Also inside the operation's own transaction, which goes on after the failure.
    let unit = Unit::begin_nested(db).await?;
    let done = insert_filled::<M, S>(db, patch).await.map(|row| inserted(db, row));
    unit.end(db, done).await
}

/// With timestamps and defaults where nothing was given.
pub(super) fn filled<M: SentryModel, S: Executor>(db: &S, mut patch: M::Patch) -> M::Patch {
    let now = db.now();
    M::auto_now_add(&mut patch, now);
    M::auto_now(&mut patch, now);
    M::defaults(&mut patch);
    patch
}

pub(super) async fn insert_filled<M, S>(db: &mut S, patch: &M::Patch) -> Result<M>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let statement = insertion::<M, S>(patch)?;
    let row = match S::Backend::RETURNING {
        true => db.rows(statement.returning::<M>()).await?.pop(),
        false => reread::inserted::<M, S>(db, statement, patch).await?,
    };
    stored(db, row).await
}

/// The same in a transaction that has forgotten which keys were assigned before.
pub(super) async fn insert_one_of_many<M, S>(db: &mut S, patch: &M::Patch) -> Result<M>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let row = reread::insert_and_read::<M, S>(db, insertion::<M, S>(patch)?, patch).await?;
    stored(db, row).await
}

fn insertion<M, S>(patch: &M::Patch) -> Result<Statement<'_, S::Backend>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut values = Assignments::new::<M>(Purpose::Insert);
    M::visit(patch, &mut values)?;
    let kept = M::state().shapes.admit(values.shape() ^ Verb::Insert as u64);
    let statement = Statement::new().stays_prepared(kept).sql("INSERT INTO ").table::<M>();
    Ok(statement.values(vec![values.pairs]))
}

/// The row that an INSERT has stored.
async fn stored<M, S>(db: &mut S, row: Option<M>) -> Result<M>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let row = row.ok_or_else(|| Error::Query(format!("{}: INSERT returned no row", M::NAME)))?;
    touch_made(db, std::slice::from_ref(&row)).await?;
    Ok(row)
}

/// The keys that rows were stored under, after every trigger.
pub(super) async fn touch_made<M, S>(db: &mut S, rows: &[M]) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if !write::absence_is_cached::<M>() {
        return Ok(());
    }
    for row in rows {
        write::touch_new::<M, S>(db, row).await?;
    }
    match S::Backend::RETURNING {
        true => touch_stored::<M, S>(db, &rows.iter().map(M::Pk::of).collect::<Vec<_>>()).await,
        // They were read again after the statement.
        false => Ok(()),
    }
}

/// Keeps the shapes of different statements over the same columns apart.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    Insert = 1,
    Update = 2,
    Upsert = 3,
    InsertUnlessThere = 4,
    UpdateWhere = 5,
    DeleteWhere = 6,
    Lock = 7,
}

/// What the caller of an update needs of the stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The fields that were assigned.
    Assigned,
    /// Every field.
    Row,
}

/// What an UPDATE of one row came to.
#[derive(Debug)]
pub(crate) struct Updated<M> {
    /// The row as it is stored, as far as the statement tells.
    pub(crate) row: M,
    /// Bit *i* is set where field *i* was assigned.
    pub(crate) assigned: u64,
    /// Bit *i* is set where field *i* of the row is the stored one.
    pub(crate) known: u64,
}

/// Updates the row of `base`; `None` where it is gone.
pub(crate) async fn update<M, S>(
    db: &mut S,
    patch: &M::Patch,
    sql: Vec<SqlSet<'_, S::Backend>>,
    base: &M,
    wanted: Wanted,
) -> Result<Option<Updated<M>>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut sets = Assignments::new::<M>(Purpose::Update);
    M::visit(patch, &mut sets)?;
    sets.take_sql(sql);
    let assigned = sets.mask();
    if assigned == 0 {
        let row = select_by_pk(db, base, &[]).await?;
        return Ok(row.map(|row| Updated { row, assigned: 0, known: 0 }));
    }
    // Keys come from the stored row: those it makes, and the spelling of the primary key.
    let by_row = write::absence_is_cached::<M>() || write::key_may_be_spelled_otherwise::<M>();
    let source = reread::Source::of::<M, S::Backend>(&sets, if by_row { Wanted::Row } else { wanted })?;
    let inside = db.scope() != Scope::Autocommit;
    let needed = |touches: Touches| touches.need_a_transaction::<M>(inside);
    let together = source == reread::Source::Read || needed(Touches::Rows) || needed(Touches::NewKeys);
    let unit = Unit::begin_if(together, db).await?;
    let done = update_row(db, sets, patch, base, source).await;
    let Some(row) = unit.end(db, done).await? else { return Ok(None) };
    hooks::saved(db, &row, Write::Update, assigned);
    let known = if source == reread::Source::Known { assigned } else { u64::MAX };
    Ok(Some(Updated { row, assigned, known }))
}

async fn update_row<M, S>(
    db: &mut S,
    mut sets: Assignments<'_, S::Backend>,
    patch: &M::Patch,
    base: &M,
    source: reread::Source,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let intents = write::open(db, base).await?;
    let (mask, kept) =
        (sets.mask(), sets.is_countable() && M::state().shapes.admit(sets.shape() ^ Verb::Update as u64));
    if mask & M::Pk::MASK != 0 {
        touch_spelling(db, base).await?;
    }
    let mut key = Assignments::new::<M>(Purpose::Update);
    base.pk(&mut key);
    let guards = std::mem::take(&mut sets.guards);
    let (statement, old) = Statement::update::<M>(sets);
    let statement = statement.matching(key.pairs, old).guards(&guards, old).stays_prepared(kept);
    let result = source.stored(db, statement, patch, base).await;
    let outcome = Outcome::of_statement(&result);
    let new = result.as_ref().ok().and_then(|rows| rows.first());
    write::close(db, intents, base, new, mask, outcome).await;
    if let Some(new) = new {
        touch_updated(db, new).await?;
    }
    let mut rows = result.map_err(|error| overflow(error, &guards))?;
    if rows.len() > 1 {
        let count = rows.len();
        return Err(Error::Query(format!(
            "{}: {count} rows have the primary key of {}",
            M::NAME,
            base.repr()
        )));
    }
    match rows.pop() {
        Some(row) => Ok(Some(row)),
        None => refusal(db, base, &guards).await.map_or(Ok(None), Err),
    }
}

/// The key under which the row is stored, where a collation lets another spelling name it. Asked for, and locked, before
/// the key is changed.
async fn touch_spelling<M, S>(db: &mut S, base: &M) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if !write::key_may_be_spelled_otherwise::<M>() {
        return Ok(());
    }
    let mut key = Assignments::new::<M>(Purpose::Update);
    base.pk(&mut key);
    let select =
        Statement::new().sql("SELECT ").key::<M>().sql(" FROM ").table::<M>().matching(key.pairs, None);
    let keys = db.keys::<M>(select.sql(S::Backend::LOCKING)).await?;
    write::touch_keys::<M, S>(db, &keys).await
}

/// The keys of a row that was updated, as the statement returns it.
async fn touch_updated<M, S>(db: &mut S, new: &M) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if write::key_may_be_spelled_otherwise::<M>() {
        write::touch::<M, S>(db, new).await?;
    }
    match write::absence_is_cached::<M>() {
        true => touch_made(db, std::slice::from_ref(new)).await,
        false => Ok(()),
    }
}

/// Why a guarded UPDATE hit no row: the first guard that the row does not meet, or `None` where it is gone.
async fn refusal<M, S>(db: &mut S, base: &M, guards: &[Guarded<'_, S::Backend>]) -> Option<Error>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if guards.is_empty() {
        return None;
    }
    match select_locked(db, base, &[]).await {
        Ok(None) => return None,
        Err(error) => return Some(error),
        Ok(Some(_)) => {}
    }
    for guard in guards {
        match select_locked(db, base, std::slice::from_ref(guard)).await {
            Ok(Some(_)) => {}
            Ok(None) => return Some(guard.refused()),
            Err(error) => return Some(overflow(error, std::slice::from_ref(guard))),
        }
    }
    // Another writer changed the row in between, so that every guard holds by now.
    guards.first().map(Guarded::refused)
}

/// The BIGINT overflow of a guarded expression, as the guard's own error.
pub(super) fn overflow<DB: Dialect>(error: Error, guards: &[Guarded<'_, DB>]) -> Error {
    match guards.first() {
        Some(guard) if error.is_numeric_overflow() => guard.refused(),
        _ => error,
    }
}

/// Learns what the database holds of a row that was read in a transaction which was rolled back since.
///
/// # Errors
/// [`Error::DoesNotExist`] where the row was of that transaction alone.
pub(crate) async fn know<M, S>(db: &mut S, row: &mut Tracked<M>) -> Result<()>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    row.settle();
    if !row.is_unknown() {
        return Ok(());
    }
    // By the key that was read: a write of the transaction may have changed it.
    let read = row.baseline().unwrap_or(row.row());
    let stored = select_by_pk(db, read, &[]).await?.ok_or_else(|| Error::DoesNotExist {
        model: M::NAME,
        lookup: format!("the row of {}; it was read in a transaction that was rolled back", read.repr()),
    })?;
    row.became_known(&stored);
    Ok(())
}

/// The row of `base` as it is stored.
pub(crate) async fn by_key_of<M, S>(db: &mut S, base: &M) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    select_by_pk(db, base, &[]).await
}

pub(super) async fn select_by_pk<M, S>(
    db: &mut S,
    base: &M,
    guards: &[Guarded<'_, S::Backend>],
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    select_by_pk_with(db, base, guards, "").await
}

/// The row as an UPDATE sees it: a transaction's snapshot may hold an older one.
async fn select_locked<M, S>(db: &mut S, base: &M, guards: &[Guarded<'_, S::Backend>]) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    select_by_pk_with(db, base, guards, S::Backend::LOCKING).await
}

async fn select_by_pk_with<M, S>(
    db: &mut S,
    base: &M,
    guards: &[Guarded<'_, S::Backend>],
    locking: &'static str,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut key = Assignments::new::<M>(Purpose::Update);
    base.pk(&mut key);
    Ok(db.rows(super::read::select::<M, S>(key).guards(guards, None).sql(locking)).await?.pop())
}

/// Deletes the row of `base`; returns whether it was there.
pub(crate) async fn delete<M, S>(db: &mut S, base: &M) -> Result<bool>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let unit = Unit::around::<M, S>(db, Touches::Rows).await?;
    let done = delete_row(db, base).await;
    let deleted = unit.end(db, done).await?;
    if deleted {
        hooks::deleted(db, base);
    }
    Ok(deleted)
}

async fn delete_row<M, S>(db: &mut S, base: &M) -> Result<bool>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let intents = write::open(db, base).await?;
    if !S::Backend::RETURNING {
        touch_spelling(db, base).await?;
    }
    let mut key = Assignments::new::<M>(Purpose::Update);
    base.pk(&mut key);
    let statement = Statement::new().sql("DELETE FROM ").table::<M>().matching(key.pairs, None);
    let result = match S::Backend::RETURNING && write::key_may_be_spelled_otherwise::<M>() {
        true => db.keys::<M>(statement.sql(" RETURNING ").key::<M>()).await,
        false => db.count(statement).await.map(|hit| vec![M::Pk::of(base); hit]),
    };
    let outcome = Outcome::of_statement(&result);
    write::close(db, intents, base, None, u64::MAX, outcome).await;
    let keys = result?;
    if write::key_may_be_spelled_otherwise::<M>() {
        write::touch_keys::<M, S>(db, &keys).await?;
    }
    Ok(!keys.is_empty())
}
