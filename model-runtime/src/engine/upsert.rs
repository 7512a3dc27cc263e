//! Update, else insert, else update again; and the lookup that inserts.
use super::lookup::Lookup;
use super::matching::{Presence, mask_of, refuses_some, update_matching};
use super::transaction::Unit;
use super::write::{filled, insert_in_savepoint, insert_unless_there};
use super::{Executor, Scope, hooks};
use crate::cache::write::Touches;
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::hooks::Write;
use crate::model::ModelSql;
use crate::operation::CreateOrUpdate;
use crate::statement::Dialect;
use crate::tracked::Tracked;
use diesel::query_builder::QueryFragment;

/// How often an upsert that a deadlock ended is run again: on MySQL, writers that insert the same key at once lock
/// each other out, all but one.
const RETRIES: u32 = 32;

/// Updates the row that matches `lookup`, or inserts one.
///
/// An UPDATE comes first: an INSERT that meets a row uses up a number of its sequence, and must have a value for
/// every column that has no default.
pub(crate) async fn create_or_update<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    mut defaults: M::Patch,
    on_insert: M::Patch,
) -> Result<CreateOrUpdate<M>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    hooks::before::<M>(&mut defaults, Write::Update)?;
    check_moves::<M, S>(&defaults)?;
    // What is not part of a transaction can be run again.
    let mut again = if db.scope() == Scope::Autocommit { RETRIES } else { 0 };
    let together = is_one_unit(db, lookup, &defaults)?;
    loop {
        let unit = Unit::begin_if(together, db).await?;
        let done = attempt(db, lookup, &defaults, &on_insert).await;
        match unit.end(db, done).await {
            Err(Error::Deadlock(_)) if again > 0 => again -= 1,
            done => return done,
        }
    }
}

/// Whether the statements must stand or fall together: the keys of updated rows must be known before they are committed,
/// bounds may refuse some rows of several, and inside a transaction what is handled as an error must have left nothing.
fn is_one_unit<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    defaults: &M::Patch,
) -> Result<bool>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let together = M::cache().is_some() || db.scope() != Scope::Autocommit;
    Ok(together || refuses_some(db, lookup, defaults)?)
}

async fn attempt<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    defaults: &M::Patch,
    on_insert: &M::Patch,
) -> Result<CreateOrUpdate<M>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let rows = update_matching(db, lookup, defaults, Presence::Unknown).await?;
    if rows > 0 {
        return Ok(CreateOrUpdate::Updated(rows));
    }
    let mut patch = lookup.merged(M::merge(on_insert.clone(), defaults.clone()));
    hooks::before::<M>(&mut patch, Write::Insert)?;
    let patch = filled::<M, S>(db, patch);
    let unit = Unit::begin_if(lookup.predicate().is_some(), db).await?;
    let done = insert_unless_found(db, lookup, &patch).await;
    if let Some(row) = unit.end(db, done).await? {
        return Ok(CreateOrUpdate::Created(row));
    }
    // Another writer inserted it in between, so that now there is a row to update.
    match update_matching(db, lookup, defaults, Presence::Certain).await? {
        0 => insert_at_last(db, lookup, &patch).await.map(CreateOrUpdate::Created),
        rows => Ok(CreateOrUpdate::Updated(rows)),
    }
}

/// `None` where a unique key stands in the way.
async fn insert_unless_found<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    patch: &M::Patch,
) -> Result<Option<Tracked<M>>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let inserted = insert_unless_there::<M, S>(db, patch).await?;
    if let Some(row) = &inserted {
        lookup.check_inserted(db, row).await?;
    }
    Ok(inserted)
}

/// Another unique key than the lookup's stands in the way; which one, the database says where it is not told to
/// pass over it.
async fn insert_at_last<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    patch: &M::Patch,
) -> Result<Tracked<M>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let unit = Unit::begin_if(lookup.predicate().is_some(), db).await?;
    let done = match insert_in_savepoint::<M, S>(db, patch).await {
        Ok(row) => lookup.check_inserted(db, &row).await.map(|()| row),
        Err(error) if error.is_unique_violation() => Err(Error::Query(format!(
            "{}: {} neither found nor created a row: another unique key stands in the way: {error}",
            M::NAME,
            lookup.described(),
        ))),
        Err(error) => Err(error),
    };
    unit.end(db, done).await
}

/// Returns the row that matches `lookup` and whether it was inserted.
pub(crate) async fn get_or_create<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    defaults: M::Patch,
) -> Result<(Tracked<M>, bool)>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    if let Some(row) = find(db, lookup, "").await? {
        return Ok((Tracked::read(row, db.transaction().node()), false));
    }
    let mut patch = lookup.merged(defaults);
    hooks::before::<M>(&mut patch, Write::Insert)?;
    let patch = filled::<M, S>(db, patch);
    // The transaction, if one is needed, is of the INSERT alone: a second look must see what others committed.
    let inside = db.scope() != Scope::Autocommit;
    let together = inside || lookup.predicate().is_some() || Touches::NewKeys.need_a_transaction::<M>(inside);
    let unit = Unit::begin_if(together, db).await?;
    let done = insert_unless_found(db, lookup, &patch).await;
    if let Some(row) = unit.end(db, done).await? {
        return Ok((row, true));
    }
    // The row stood in the way; a snapshot may be older than it. With RETURNING such a snapshot made the INSERT fail.
    let locking = if S::Backend::RETURNING { "" } else { S::Backend::LOCKING };
    match find(db, lookup, locking).await? {
        Some(row) => Ok((Tracked::read(row, db.transaction().node()), false)),
        None => Ok((insert_at_last(db, lookup, &patch).await?, true)),
    }
}

async fn find<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    locking: &'static str,
) -> Result<Option<M>>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let mut rows = lookup.rows(db, locking).await?;
    lookup.accept(rows.len())?;
    Ok(rows.pop())
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
