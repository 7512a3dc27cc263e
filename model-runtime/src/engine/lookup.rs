//! What an upsert looks for: fields with their values, and perhaps a predicate beside them.
use super::write::{Verb, overflow};
use super::{Executor, bulk};
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::model::{ModelSql, SentryModel};
use crate::statement::{Assignments, Dialect, Guarded, Pair, Purpose, Statement, TableName};
use diesel::query_builder::QueryFragment;
use std::marker::PhantomData;

/// What the lookup is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    GetOrCreate,
    CreateOrUpdate(Matches),
}

/// How many rows an upsert may update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matches {
    /// One: several that match are an error.
    One,
    /// All that match.
    All,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::GetOrCreate => "get_or_create",
            Self::CreateOrUpdate(_) => "create_or_update",
        }
    }
}

/// The lookup of an upsert or of a get-or-create, on the backend `DB`.
pub(crate) struct Lookup<'q, M: SentryModel, P, DB> {
    call: Call,
    fields: &'q M::Patch,
    predicate: Option<&'q P>,
    /// Whether the fields hold a unique key that the model knows.
    is_unique: bool,
    /// What the text of a statement depends on, beside the type of the predicate.
    shape: u64,
    backend: PhantomData<fn() -> DB>,
}

impl<'q, M, P, DB> Lookup<'q, M, P, DB>
where
    M: ModelSql<DB>,
    P: QueryFragment<DB> + Sync,
    DB: Dialect,
{
    /// # Errors
    /// [`Error::Query`] where no field is set: every row would match.
    pub(crate) fn new(call: Call, fields: &'q M::Patch, predicate: Option<&'q P>) -> Result<Self> {
        let mut pairs = Assignments::<DB>::new::<M>(Purpose::Update);
        M::visit(fields, &mut pairs)?;
        if pairs.pairs.is_empty() {
            return Err(Error::Query(format!(
                "{}: {} has no lookup and would match every row; set the fields to look up before `.defaults`",
                M::NAME,
                call.name()
            )));
        }
        let (is_unique, shape) = (holds_unique_key::<M, DB>(&pairs), pairs.matching_shape());
        Ok(Self { call, fields, predicate, is_unique, shape, backend: PhantomData })
    }

    /// Whether several rows may match, and all of them are meant.
    pub(super) fn is_for_all(&self) -> bool {
        self.call == Call::CreateOrUpdate(Matches::All)
    }

    pub(super) fn is_unique(&self) -> bool {
        self.is_unique
    }

    /// Whether a statement of this shape stays prepared, over the rows of this lookup.
    pub(super) fn stays_prepared(&self, shape: u64) -> bool {
        let shape = shape ^ self.shape;
        match self.predicate {
            Some(_) => bulk::stays_prepared::<M, P>(shape),
            None => M::state().shapes.admit(shape),
        }
    }

    pub(super) fn predicate(&self) -> Option<&'q P> {
        self.predicate
    }

    /// The lookup's fields and these others, as an INSERT sets them.
    pub(super) fn merged(&self, others: M::Patch) -> M::Patch {
        M::merge(self.fields.clone(), others)
    }

    fn pairs(&self) -> Result<Vec<Pair<'q, DB>>> {
        let mut pairs = Assignments::new::<M>(Purpose::Update);
        M::visit(self.fields, &mut pairs)?;
        Ok(pairs.pairs)
    }

    /// `create_or_update(slug)`, for messages.
    pub(super) fn described(&self) -> String {
        let pairs = self.pairs().unwrap_or_default();
        let names = pairs.iter().map(|pair| pair.column).collect::<Vec<_>>().join(", ");
        let predicate = if self.predicate.is_some() { ".matching(…)" } else { "" };
        format!("{}({names}){predicate}", self.call.name())
    }

    /// So many rows match.
    ///
    /// # Errors
    /// [`Error::Query`] where it is several, and one is meant.
    pub(super) fn accept(&self, rows: usize) -> Result<()> {
        if rows < 2 || self.is_for_all() {
            return Ok(());
        }
        let all = match self.call {
            Call::CreateOrUpdate(_) => ", or update all of them with `.all_matches()`",
            Call::GetOrCreate => "",
        };
        Err(Error::Query(format!(
            "{}: {}: at least {rows} rows match, and one may; nothing is written; look up by a unique key, or give \
             the predicate of a partial unique index in `.matching(…)`{all}",
            M::NAME,
            self.described()
        )))
    }

    /// ` WHERE a = … AND b IS NULL AND (predicate)`, of the columns of the table `row`.
    pub(super) fn filter(
        &self,
        statement: Statement<'q, DB>,
        row: Option<TableName<DB>>,
    ) -> Result<Statement<'q, DB>> {
        let statement = statement.matching(self.pairs()?, row);
        Ok(match self.predicate {
            Some(predicate) => statement.sql(" AND (").fragment(predicate).sql(")"),
            None => statement,
        })
    }

    /// ` AND` at most one row matches, as the statement sees the table.
    ///
    /// The rows are counted in a derived table, because MySQL lets no subquery read the table that is updated. Its LIMIT
    /// ends the count at the second row, and keeps the optimizer from merging the derived table.
    pub(super) fn unless_several(&self, statement: Statement<'q, DB>) -> Result<Statement<'q, DB>> {
        // With MySQL's shared locks of a subquery, two writers would each wait for the other.
        let locking = if DB::RETURNING { "" } else { DB::LOCKING };
        let statement = statement.sql(" AND (SELECT COUNT(*) FROM (SELECT 1 FROM ").table::<M>();
        Ok(self.filter(statement, None)?.sql(" LIMIT 2").sql(locking).sql(") AS __matching) < 2"))
    }

    fn select(&self, columns: Statement<'q, DB>) -> Result<Statement<'q, DB>> {
        let kept = self.predicate.is_none() || self.stays_prepared(Verb::Lock as u64);
        Ok(self.filter(columns.sql(" FROM ").table::<M>(), None)?.stays_prepared(kept))
    }

    /// The rows that match; two at most where one is meant and several may match.
    pub(super) async fn rows<S>(&self, db: &mut S, locking: &'static str) -> Result<Vec<M>>
    where
        S: Executor<Backend = DB>,
    {
        let limit = if self.is_unique || self.is_for_all() { "" } else { " LIMIT 2" };
        let select = self.select(Statement::new().sql("SELECT ").columns::<M>())?;
        db.rows(select.sql(limit).sql(locking)).await
    }

    /// How many rows match, counted up to two.
    pub(super) async fn count_to_two<S: Executor<Backend = DB>>(&self, db: &mut S) -> Result<usize> {
        let select = self.select(Statement::new().sql("SELECT ").key::<M>())?;
        Ok(db.keys::<M>(select.sql(" LIMIT 2")).await?.len())
    }

    /// An error where a bound refuses one of the rows that match.
    pub(super) async fn refuse<S>(&self, db: &mut S, guards: &[Guarded<'_, DB>]) -> Result<()>
    where
        S: Executor<Backend = DB>,
    {
        if guards.is_empty() || !self.is_refused(db, guards).await? {
            return Ok(());
        }
        // Which of them?
        for guard in guards {
            if self.is_refused(db, std::slice::from_ref(guard)).await? {
                return Err(guard.refused());
            }
        }
        guards.first().map_or(Ok(()), |guard| Err(guard.refused()))
    }

    /// Whether a matching row does not meet one of the guards, as a write sees it.
    async fn is_refused<S>(&self, db: &mut S, guards: &[Guarded<'_, DB>]) -> Result<bool>
    where
        S: Executor<Backend = DB>,
    {
        let select = self.select(Statement::new().sql("SELECT ").key::<M>())?;
        let refused = db.keys::<M>(select.refused_by(guards).sql(DB::LOCKING)).await;
        Ok(!refused.map_err(|error| overflow(error, guards))?.is_empty())
    }

    /// An error where a row that was just inserted does not meet the predicate: no later call would find it, and each
    /// would insert another.
    pub(super) async fn check_inserted<S>(&self, db: &mut S, row: &M) -> Result<()>
    where
        S: Executor<Backend = DB>,
    {
        let Some(predicate) = self.predicate else { return Ok(()) };
        let mut key = Assignments::new::<M>(Purpose::Update);
        row.pk(&mut key);
        let select = Statement::new().sql("SELECT ").key::<M>().sql(" FROM ").table::<M>();
        let select = select.matching(key.pairs, None).sql(" AND (").fragment(predicate).sql(")");
        let kept = bulk::stays_prepared::<M, P>(Verb::Insert as u64);
        match db.keys::<M>(select.stays_prepared(kept)).await?.is_empty() {
            true => Err(Error::Query(format!(
                "{}: {}: the row to insert does not meet the predicate, so that the next call would insert another; \
                 nothing is written; give the fields that the predicate asks for in `.defaults` or `.on_insert`",
                M::NAME,
                self.described()
            ))),
            false => Ok(()),
        }
    }
}

/// Whether the values name one row at most: they hold the primary key, or a key that is cached.
///
/// Any number of rows may have NULL in a unique key, and an expression may be equal to the column in many rows.
fn holds_unique_key<M: SentryModel, DB: Dialect>(pairs: &Assignments<'_, DB>) -> bool {
    let nulls = pairs.pairs.iter().filter(|pair| pair.is_null).fold(0, |mask, pair| mask | 1 << pair.index);
    let values = pairs.mask() & !pairs.computed_mask() & !nulls;
    let cached = M::cache().map_or(&[][..], |spec| spec.lookups);
    let mut keys = cached.iter().map(|lookup| lookup.mask).chain([M::Pk::MASK]);
    keys.any(|key| values & key == key)
}
