//! The UPDATE of an upsert: of the one row that matches, or of all.
use super::bulk::touch_stored;
use super::lock::{check_hits, lock_database};
use super::lookup::Lookup;
use super::write::{Verb, overflow};
use super::{Executor, Scope};
use crate::cache::write;
use crate::error::Result;
use crate::field::KeyCols;
use crate::model::{ModelSql, SentryModel};
use crate::statement::{
    Assignments, Dialect, Guarded, Pair, Purpose, Statement, TableName, decides_by_the_row,
};
use diesel::query_builder::QueryFragment;

/// How often an UPDATE is sent that hits no row although one matches, because another writer was in between.
const TRIES: u32 = 3;

/// How many rows one statement names by their keys.
const CHUNK: usize = 256;

/// Whether a row is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Unknown,
    /// It stood in the way of an INSERT; a look without a lock may not see it yet.
    Certain,
}

/// Updates what matches, and returns how many rows that were.
pub(super) async fn update_matching<M, P, S>(
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
    let stamped = with_auto_now::<M, S>(db, defaults);
    let change = Change::new(db, lookup, stamped.as_ref().unwrap_or(defaults))?;
    if change.is_empty || (stamped.is_some() && mask_of::<M, S>(defaults)? == 0) {
        // Nothing to write, not even a timestamp: it is a get-or-create, which counts what it finds.
        let locks = presence == Presence::Certain && !S::Backend::RETURNING;
        let rows = lookup.rows(db, if locks { S::Backend::LOCKING } else { "" }).await?.len();
        return lookup.accept(rows).map(|()| rows);
    }
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

/// What is written where an UPDATE also writes the time; `None` where the model has no such field.
fn with_auto_now<M, S>(db: &S, defaults: &M::Patch) -> Option<M::Patch>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    (M::AUTO_NOW != 0).then(|| {
        let mut values = defaults.clone();
        M::auto_now(&mut values, db.now());
        values
    })
}

/// What keeps an UPDATE from writing rows that it must not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CheckedBy {
    /// The lookup: its key is unique, so that one row at most matches.
    Key,
    /// A condition of the statement: it writes nothing where several rows match.
    Count,
    /// The transaction or savepoint around it: the rows are counted before it or after it, and it is rolled back.
    Unit,
}

/// What an upsert writes to the rows that it finds.
struct Change<'q, M: SentryModel, P, DB: Dialect> {
    lookup: &'q Lookup<'q, M, P, DB>,
    values: &'q M::Patch,
    is_empty: bool,
    guards: Vec<Guarded<'q, DB>>,
    checked_by: CheckedBy,
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
        let is_empty = sets.mask() == 0;
        let guards = sets.guards;
        let stands_alone = db.scope() == Scope::Autocommit;
        let checked_by = match (lookup.is_unique(), lookup.is_for_all()) {
            (true, _) => CheckedBy::Key,
            // A guard may pass over one of two rows, so that the number of rows hit does not tell how many match.
            (false, false) if stands_alone || (DB::RETURNING && !guards.is_empty()) => CheckedBy::Count,
            (false, _) => CheckedBy::Unit,
        };
        Ok(Self { lookup, values, is_empty, guards, checked_by })
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
        let (statement, count) = match self.checked_by {
            CheckedBy::Count => (self.lookup.unless_several(statement)?, 1 << 63),
            CheckedBy::Key | CheckedBy::Unit => (statement, 0),
        };
        Ok(statement.stays_prepared(self.lookup.stays_prepared(shape ^ count)))
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
        // As many rows could be hit although one of them is refused: by another one that came in between.
        let exact = self.lookup.is_unique() || self.guards.is_empty();
        if exact && self.lookup.predicate().is_none_or(|predicate| decides_by_the_row(predicate)) {
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
    let Change { lookup, guards, checked_by, .. } = change;
    if *checked_by == CheckedBy::Unit && !guards.is_empty() {
        if S::Backend::LOCKS_ROWS {
            return update_locked(db, change).await;
        }
        lock_database::<M, S>(db).await?;
        lookup.refuse(db, guards).await?;
    }
    for _ in 0..TRIES {
        let rows = change.run(db).await?;
        if rows > 0 {
            return lookup.accept(rows).map(|()| rows);
        }
        match checked_by {
            CheckedBy::Unit => break,
            CheckedBy::Key => return lookup.refuse(db, guards).await.map(|()| 0),
            CheckedBy::Count => {}
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

/// Whether bounds may refuse some rows and not others, so that what was written must be taken back.
pub(super) fn refuses_some<M, P, S>(
    db: &mut S,
    lookup: &Lookup<'_, M, P, S::Backend>,
    defaults: &M::Patch,
) -> Result<bool>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Sync,
    S: Executor,
{
    let several = lookup.is_for_all() && !lookup.is_unique();
    Ok(several && !Change::new(db, lookup, defaults)?.guards.is_empty())
}

/// Bit *i* is set where field *i* is assigned.
pub(super) fn mask_of<M, S>(patch: &M::Patch) -> Result<u64>
where
    M: ModelSql<S::Backend>,
    S: Executor,
{
    let mut pairs = Assignments::<S::Backend>::new::<M>(Purpose::Update);
    M::visit(patch, &mut pairs)?;
    Ok(pairs.mask())
}
