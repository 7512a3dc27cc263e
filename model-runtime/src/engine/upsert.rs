//! Update, else insert, else update again; and the lookup that inserts.
use super::bulk::touch_stored;
use super::lock::{check_hits, lock_database};
use super::lookup::Lookup;
use super::transaction::Unit;
use super::write::{Verb, filled, insert_in_savepoint, insert_unless_there, overflow};
use super::{Executor, Scope, bulk, hooks};
use crate::cache::write::{self, Touches};
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::hooks::Write;
use crate::model::{ModelSql, SentryModel};
use crate::operation::CreateOrUpdate;
use crate::statement::{
    Assignments, Dialect, Guarded, Pair, Purpose, Statement, TableName, decides_by_the_row,
};
use crate::tracked::Tracked;
use diesel::query_builder::QueryFragment;

/// How often an upsert that a deadlock ended is run again: on MySQL, writers that insert the same key at once lock
/// each other out, all but one.
const RETRIES: u32 = 32;

/// How often an UPDATE is sent that hits no row although one matches, because another writer was in between.
const TRIES: u32 = 3;

/// How many rows one statement names by their keys.
const CHUNK: usize = 256;

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
    if M::cache().is_some() || db.scope() != Scope::Autocommit {
        return Ok(true);
    }
    Ok(lookup.is_for_all() && !lookup.is_unique() && !Change::new(db, lookup, defaults)?.guards.is_empty())
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
        return Ok((Tracked::stored(row), false));
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
        Some(row) => Ok((Tracked::stored(row), false)),
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

/// Whether a row is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Unknown,
    /// It stood in the way of an INSERT; a look without a lock may not see it yet.
    Certain,
}

/// Updates what matches, and returns how many rows that were.
async fn update_matching<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    defaults: &M::Patch,
    presence: Presence,
) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    if mask_of::<M, S>(defaults)? == 0 {
        // Nothing to write, not even a timestamp: it is a get-or-create, which counts what it finds.
        let locks = presence == Presence::Certain && !S::Backend::RETURNING;
        let rows = lookup.rows(db, if locks { S::Backend::LOCKING } else { "" }).await?.len();
        return lookup.accept(rows).map(|()| rows);
    }
    let mut values = defaults.clone();
    M::auto_now(&mut values, db.now());
    let change = Change::new(db, lookup, &values)?;
    // Inside a transaction an UPDATE of no row would keep a lock that stands in the way of inserts.
    if S::Backend::RETURNING || db.scope() == Scope::Autocommit {
        return update_at_once(db, &change).await;
    }
    // Nothing is locked before there is a row: the lock of a gap stands in the way of every insert beside it.
    match presence == Presence::Unknown && lookup.rows(db, "").await?.is_empty() {
        true => Ok(0),
        false => update_locked(db, &change).await,
    }
}

/// What keeps an UPDATE from writing some rows and not others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Hits {
    /// A unique key: one row at most matches.
    ByKey,
    /// A condition of the statement: it writes nothing where several rows match.
    ByCount,
    /// What is around it: the rows are counted after it, or before it, and it is rolled back.
    ByUnit,
}

/// What an upsert writes to the rows that it finds.
struct Change<'q, M: SentryModel, P, DB: Dialect> {
    lookup: &'q Lookup<'q, M, P, DB>,
    values: &'q M::Patch,
    guards: Vec<Guarded<'q, DB>>,
    hits: Hits,
}

impl<'q, M, P, DB> Change<'q, M, P, DB>
where
    M: ModelSql<DB>,
    P: QueryFragment<DB> + Sync,
    DB: Dialect,
{
    fn new<S>(db: &mut S, lookup: &'q Lookup<'q, M, P, DB>, values: &'q M::Patch) -> Result<Self>
    where
        S: Executor<Backend = DB>,
    {
        let mut sets = Assignments::new::<M>(Purpose::Update);
        M::visit(values, &mut sets)?;
        let guards = sets.guards;
        let stands_alone = db.scope() == Scope::Autocommit;
        let hits = match (lookup.is_unique(), lookup.is_for_all()) {
            (true, _) => Hits::ByKey,
            // A guard may pass over one of two rows, so that the number of rows hit does not tell how many match.
            (false, false) if stands_alone || (DB::RETURNING && !guards.is_empty()) => Hits::ByCount,
            (false, _) => Hits::ByUnit,
        };
        Ok(Self { lookup, values, guards, hits })
    }

    /// `UPDATE … SET …`, and what qualifies the columns of the row as it was.
    fn sets(&self) -> Result<(Statement<'_, DB>, Option<TableName<DB>>, u64)> {
        let mut sets = Assignments::new::<M>(Purpose::Update);
        M::visit(self.values, &mut sets)?;
        let shape = sets.shape() ^ Verb::Upsert as u64;
        let (statement, old) = Statement::update::<M>(sets);
        Ok((statement, old, shape))
    }

    /// `UPDATE … SET … WHERE lookup AND guards`.
    fn update(&self) -> Result<Statement<'_, DB>> {
        let (statement, old, shape) = self.sets()?;
        let statement = self.lookup.filter(statement, old)?.guards(&self.guards, old);
        let (statement, count) = match self.hits {
            Hits::ByCount => (self.lookup.unless_several(statement)?, 1 << 63),
            Hits::ByKey | Hits::ByUnit => (statement, 0),
        };
        let kept = bulk::stays_prepared::<M, P>(shape ^ self.lookup.shape() ^ count);
        Ok(statement.stays_prepared(kept))
    }

    /// `UPDATE … SET … WHERE keys AND guards`.
    fn update_keys<'k>(&'k self, keys: &'k [M::Patch]) -> Result<Statement<'k, DB>> {
        let (statement, old, _) = self.sets()?;
        let pairs = keys.iter().map(|key| pairs::<M, DB>(key)).collect::<Result<Vec<_>>>()?;
        Ok(statement.matching_any_of(pairs, old).guards(&self.guards, old).stays_prepared(false))
    }

    /// Runs the UPDATE and takes note of the rows' keys, which it returns where they are cached.
    async fn run<S: Executor<Backend = DB>>(&self, db: &mut S) -> Result<usize> {
        let refused = |error| overflow(error, &self.guards);
        if M::cache().is_none() {
            return db.count(self.update()?).await.map_err(refused);
        }
        let rows: Vec<M> = db.rows(self.update()?.returning::<M>()).await.map_err(refused)?;
        touch_updated::<M, S>(db, &rows).await?;
        Ok(rows.len())
    }

    /// Runs it on rows that are locked.
    async fn run_on<S: Executor<Backend = DB>>(&self, db: &mut S, locked: &[M]) -> Result<usize> {
        let refused = |error| overflow(error, &self.guards);
        if self.lookup.predicate().is_none_or(|predicate| decides_by_the_row(predicate)) {
            return db.count(self.update()?).await.map_err(refused);
        }
        // The predicate may match other rows the second time.
        let keys: Vec<_> = locked.iter().map(|row| M::Pk::patch(&M::Pk::of(row))).collect();
        let mut hit = 0;
        for keys in keys.chunks(CHUNK) {
            hit += db.count(self.update_keys(keys)?).await.map_err(refused)?;
        }
        Ok(hit)
    }
}

fn pairs<M: ModelSql<DB>, DB: Dialect>(key: &M::Patch) -> Result<Vec<Pair<'_, DB>>> {
    let mut pairs = Assignments::new::<M>(Purpose::Update);
    M::visit(key, &mut pairs)?;
    Ok(pairs.pairs)
}

/// The statement finds the rows and writes them. Where bounds may refuse some rows of several, they are locked and checked
/// before.
async fn update_at_once<M, P, S>(db: &mut S, change: &Change<'_, M, P, S::Backend>) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let Change { lookup, guards, hits, .. } = change;
    if *hits == Hits::ByUnit && !guards.is_empty() {
        match S::Backend::LOCKS_ROWS {
            true => drop(lookup.rows(db, S::Backend::LOCKING).await?),
            false => lock_database::<M, S>(db).await?,
        }
        lookup.refuse(db, guards).await?;
    }
    for _ in 0..TRIES {
        let rows = change.run(db).await?;
        if rows > 0 {
            return lookup.accept(rows).map(|()| rows);
        }
        match hits {
            Hits::ByUnit => break,
            Hits::ByKey => return lookup.refuse(db, guards).await.map(|()| 0),
            Hits::ByCount => {}
        }
        let matching = lookup.count_to_two(db).await?;
        lookup.accept(matching)?;
        if matching == 0 {
            break;
        }
        lookup.refuse(db, guards).await?;
    }
    Ok(0)
}

/// The rows are locked before, where the statement returns none.
async fn update_locked<M, P, S>(db: &mut S, change: &Change<'_, M, P, S::Backend>) -> Result<usize>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let Change { lookup, guards, .. } = change;
    let locked = lookup.rows(db, S::Backend::LOCKING).await?;
    lookup.accept(locked.len())?;
    if locked.is_empty() {
        return Ok(0);
    }
    for row in &locked {
        write::touch::<M, S>(db, row).await?;
    }
    if locked.len() > 1 {
        lookup.refuse(db, guards).await?;
    }
    let hit = change.run_on(db, &locked).await?;
    if hit < locked.len() {
        lookup.refuse(db, guards).await?;
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
