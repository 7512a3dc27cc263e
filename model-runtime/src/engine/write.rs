//! Writes of one row: insert, update, delete.
use super::transaction::{Unit, begin, finish};
use super::{Executor, Scope, hooks, reread};
use crate::cache::write::{self, Touches};
use crate::error::{Error, Outcome, Result};
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
    write::touch_new::<M, S>(db, &row, u64::MAX).await?;
    Ok(Some(inserted(db, row)))
}

/// Inserts a row, whose failure leaves a surrounding transaction usable. Outside one the statement is its own.
pub(super) async fn insert_in_savepoint<M, S>(db: &mut S, patch: &M::Patch) -> Result<Tracked<M>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let inside = db.scope() != Scope::Autocommit || Touches::NewKeys.need_a_transaction::<M>();
    if inside {
        begin(db).await?;
    }
    let done = insert_filled::<M, S>(db, patch).await.map(|row| inserted(db, row));
    if inside { finish(db, done).await } else { done }
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
    let mut values = Assignments::new::<M>(Purpose::Insert);
    M::visit(patch, &mut values)?;
    let kept = M::state().shapes.admit(values.shape() ^ Verb::Insert as u64);
    let statement =
        Statement::new().stays_prepared(kept).sql("INSERT INTO ").table::<M>().values(vec![values.pairs]);
    let row = match S::Backend::RETURNING {
        true => db.rows(statement.returning::<M>()).await?.pop(),
        false => reread::inserted::<M, S>(db, statement, patch).await?,
    };
    let row = row.ok_or_else(|| Error::Query(format!("{}: INSERT returned no row", M::NAME)))?;
    write::touch_new::<M, S>(db, &row, u64::MAX).await?;
    Ok(row)
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

/// Updates the row of `base`; returns the stored row and the mask of the assigned fields, or `None` where
/// the row is gone.
pub(crate) async fn update<M, S>(
    db: &mut S,
    patch: &M::Patch,
    sql: Vec<SqlSet<'_, S::Backend>>,
    base: &M,
    wanted: Wanted,
) -> Result<Option<(M, u64)>>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut sets = Assignments::new::<M>(Purpose::Update);
    M::visit(patch, &mut sets)?;
    sets.take_sql(sql);
    let mask = sets.mask();
    if mask == 0 {
        return Ok(select_by_pk(db, base, &[]).await?.map(|row| (row, 0)));
    }
    // The keys that it makes come from the stored row.
    let makes_keys = write::makes_keys::<M>(mask);
    let wanted = if makes_keys { Wanted::Row } else { wanted };
    let source = reread::Source::of::<M, S::Backend>(&sets, wanted)?;
    let unit = match source {
        reread::Source::Read => Unit::begin(db).await?,
        _ if makes_keys => Unit::begin(db).await?,
        _ => Unit::around::<M, S>(db, Touches::Rows).await?,
    };
    let done = update_row(db, sets, patch, base, source).await;
    let Some(row) = unit.end(db, done).await? else { return Ok(None) };
    hooks::saved(db, &row, Write::Update, mask);
    Ok(Some((row, mask)))
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
    let mut key = Assignments::new::<M>(Purpose::Update);
    base.pk(&mut key);
    let guards = std::mem::take(&mut sets.guards);
    let (statement, old) = Statement::update::<M>(sets);
    let statement = statement.matching(key.pairs, old).guards(&guards, old).stays_prepared(kept);
    let result = source.stored(db, statement, patch, base).await;
    let outcome = Outcome::of_statement(&result);
    let new = result.as_ref().ok().and_then(|rows| rows.first());
    write::close(db, intents, base, new, mask, outcome).await;
    if let Some(new) = new.filter(|_| write::makes_keys::<M>(mask)) {
        write::touch_new::<M, S>(db, new, mask).await?;
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

/// Why a guarded UPDATE hit no row: the first guard that the row does not meet, or `None` where it is gone.
async fn refusal<M, S>(db: &mut S, base: &M, guards: &[Guarded<'_, S::Backend>]) -> Option<Error>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    if guards.is_empty() {
        return None;
    }
    match select_by_pk(db, base, &[]).await {
        Ok(None) => return None,
        Err(error) => return Some(error),
        Ok(Some(_)) => {}
    }
    for guard in guards {
        match select_by_pk(db, base, std::slice::from_ref(guard)).await {
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
    let mut key = Assignments::new::<M>(Purpose::Update);
    base.pk(&mut key);
    Ok(db.rows(super::read::select::<M, S>(key).guards(guards, None)).await?.pop())
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
    let mut key = Assignments::new::<M>(Purpose::Update);
    base.pk(&mut key);
    let statement = Statement::new().sql("DELETE FROM ").table::<M>().matching(key.pairs, None);
    let result = db.count(statement).await;
    let outcome = Outcome::of_statement(&result);
    write::close(db, intents, base, None, u64::MAX, outcome).await;
    Ok(result? > 0)
}
