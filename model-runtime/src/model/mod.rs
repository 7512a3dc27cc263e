//! The traits that the derive implements.
mod sql;
mod state;

pub use sql::{ModelSql, Predicate};
pub use state::ModelState;

use crate::cache::codec::CacheSpec;
use crate::error::{Error, Result};
use crate::field::{CacheKey, FieldOf, KeyCols, KeyFor, Number};
use crate::hooks::HookSpec;
use crate::operation::{
    Attach, Attached, Create, CreateMany, DeleteWhere, ForeignKey, Get, GetMany, GetOrCreate, Invalidate,
    Operation, SaveMany, UpdateWhere, Upsert, VerifySchema,
};
use crate::repr::Repr;
use crate::schema::{self, Catalog, Describe, SchemaProblem};
use crate::session::Runner;
use crate::statement::Dialect;
use crate::tracked::Tracked;
use std::time::SystemTime;

/// A row struct that tracks, updates and caches itself; implemented by `#[derive(SentryModel)]`.
///
/// The derive and the trait share the name, so that one import brings both. Its methods below start the
/// operations on rows that are not loaded yet; those on a loaded row are on [`Tracked`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model",
    label = "does not derive `SentryModel`",
    note = "add `#[derive(SentryModel)]` and `#[diesel(table_name = …)]` to the struct"
)]
pub trait SentryModel: Sized + Send + Sync + 'static {
    /// The model's table.
    type Table: diesel::Table + 'static;
    /// The columns of the primary key.
    #[doc(hidden)]
    type Pk: KeyCols<Model = Self>;
    /// One optional assignment per field.
    #[doc(hidden)]
    type Patch: Default + Clone + Send + Sync + 'static;
    /// The generated builder: a type local to the model, hence inherent setters.
    type Builder<Op>;

    /// The model's name: the struct's.
    const NAME: &'static str;
    /// The fields' names in Rust, in the order of the struct.
    const FIELDS: &'static [&'static str];
    /// The columns in the order of the struct: the list of every SELECT and RETURNING.
    const COLUMNS: &'static [&'static str];
    #[doc(hidden)]
    const AUTO_NOW: u64 = 0;
    #[doc(hidden)]
    const AUTO_NOW_ADD: u64 = 0;

    #[doc(hidden)]
    fn state() -> &'static ModelState;
    #[doc(hidden)]
    fn builder<Op>(op: Op) -> Self::Builder<Op>;
    #[doc(hidden)]
    fn operation<Op>(builder: Self::Builder<Op>) -> Op;
    /// A copy, field by field.
    #[doc(hidden)]
    #[must_use]
    fn snapshot(&self) -> Self;
    /// Bit *i* is set where field *i* differs.
    #[doc(hidden)]
    fn dirty(&self, base: &Self) -> u64;
    /// The fields of `mask` as assignments.
    #[doc(hidden)]
    fn patch(&self, mask: u64) -> Self::Patch;
    /// Takes the values of a patch; expressions are left alone.
    #[doc(hidden)]
    fn apply(&mut self, patch: &Self::Patch);
    #[doc(hidden)]
    fn swap_fields(&mut self, other: &mut Self, mask: u64);
    /// Bit *i* is set where field *i* is an `Uncached` that is not loaded.
    #[doc(hidden)]
    #[must_use]
    fn unloaded(&self) -> u64;
    /// Forgets the values of the `Uncached` fields of `mask`.
    #[doc(hidden)]
    fn unload(&mut self, mask: u64);
    /// The assignments of both; the first wins.
    #[doc(hidden)]
    fn merge(first: Self::Patch, second: Self::Patch) -> Self::Patch;
    /// Fills the `#[auto_now]` fields that are not given.
    #[doc(hidden)]
    fn auto_now(_patch: &mut Self::Patch, _now: SystemTime) {}
    /// Fills the `#[auto_now_add]` fields that are not given.
    #[doc(hidden)]
    fn auto_now_add(_patch: &mut Self::Patch, _now: SystemTime) {}
    /// Fills the `#[default(…)]` fields that are not given.
    #[doc(hidden)]
    fn defaults(_patch: &mut Self::Patch) {}
    /// The `#[bounded(auto)]` fields that hold 0: the database assigns them.
    #[doc(hidden)]
    #[must_use]
    fn vacant(&self) -> u64 {
        0
    }
    /// The number in a column, by the column's name.
    #[doc(hidden)]
    fn number(&self, column: &str) -> Option<Number>;
    #[doc(hidden)]
    #[must_use]
    fn cache() -> Option<&'static CacheSpec<Self>> {
        None
    }
    #[doc(hidden)]
    #[must_use]
    fn hooks() -> Option<&'static HookSpec<Self>> {
        None
    }
    #[doc(hidden)]
    fn describe<D: Describe>(out: &mut D);
    #[doc(hidden)]
    fn repr_fields(&self, out: &mut Repr<'_>);

    /// A short text for logs, `<Project: id=1, slug="pump">`: the primary key and the fields of
    /// `#[sane_repr(…)]`.
    #[must_use]
    fn repr(&self) -> String {
        Repr::of(self)
    }

    /// Starts an INSERT: set fields, then `execute`, which returns the stored row.
    ///
    /// Columns that are not set take `#[default(…)]`, else the database's default.
    ///
    /// SQL: `INSERT … RETURNING` (1 statement). Cache: nothing; a row that did not exist has no entry.
    /// With `negative` a transaction, and one intent for each key of the row, two round trips.
    ///
    /// # Example: expressions start from the default
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// let project = Project::create()
    ///     .organization_id(1)
    ///     .slug("pump")
    ///     .name("Pump")
    ///     .events(F(projects::events) + 1)
    ///     .execute(db)?;
    /// assert_eq!(project.events, 1);
    /// # Ok(()) }) }
    /// ```
    #[must_use]
    fn create() -> Self::Builder<Create<Self>> {
        Self::builder(Create::new())
    }

    /// Inserts rows, all or none, and returns them as stored, in their order.
    ///
    /// Each row is what [`create`](Self::create) starts, without its `execute`.
    ///
    /// SQL: `BEGIN`, one `INSERT … RETURNING` for each 128 rows in a row that set the same columns (without RETURNING
    /// an `INSERT` and a `SELECT` for each row), `COMMIT`. Cache: as [`create`](Self::create).
    ///
    /// # Errors
    /// As [`create`](Self::create); nothing is inserted then.
    ///
    /// # Example: two rows at once
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// let new = |slug: &str| Project::create().organization_id(1).slug(slug).name(slug);
    /// let created = Project::create_many(db, [new("pump"), new("tank")])?;
    /// assert_eq!(created[1].slug, "tank");
    /// # Ok(()) }) }
    /// ```
    fn create_many<'d, S, I>(db: &'d mut S, rows: I) -> S::Out<'d, Vec<Tracked<Self>>>
    where
        S: Runner,
        I: IntoIterator<Item = Self::Builder<Create<Self>>>,
        CreateMany<Self>: Operation<S, Output = Vec<Tracked<Self>>> + 'd,
    {
        db.drive(CreateMany::new(rows.into_iter().map(Self::operation)))
    }

    /// Starts an upsert: set the lookup, `defaults` and perhaps `on_insert`, then `execute`.
    ///
    /// Updates the row that matches the lookup; inserts one where there is none. Where several rows match, nothing is
    /// written, unless `.all_matches()` is called. `.matching(predicate)` narrows the lookup, for example to the rows of a
    /// partial unique index; the inserted row must meet the predicate as well.
    ///
    /// SQL of a model that is not cached: one `UPDATE`; if no row matched,
    /// `INSERT … ON CONFLICT DO NOTHING RETURNING`; if another writer was faster, the `UPDATE` again. Of a cached one
    /// the same with `RETURNING`, in one transaction. Where the lookup holds neither the primary key nor a cached one, a
    /// `SELECT` before the `INSERT` may tell no row from several. (MySQL looks and locks before it updates cached rows,
    /// and inserts in a savepoint.) Cache: one intent and one release per updated row, two round trips in all.
    ///
    /// # Errors
    /// `execute` returns [`Error::Query`](crate::Error::Query) where several rows match, and where the row to insert does
    /// not meet the predicate; [`Error::OutOfBounds`](crate::Error::OutOfBounds) where a bound refuses a row;
    /// [`Error::Database`](crate::Error::Database). Nothing is written then.
    ///
    /// # Example: count, whoever comes first
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// for expected in 1..=2 {
    ///     Project::create_or_update()
    ///         .slug("pump")
    ///         .defaults(|d| d.name("Pump").events(F(projects::events) + 1))
    ///         .on_insert(|d| d.organization_id(1))
    ///         .execute(db)?;
    ///     assert_eq!(Project::get_from_cache(db, projects::slug, "pump")?.events, expected);
    /// }
    /// # Ok(()) }) }
    /// ```
    ///
    /// # Example: several rows are left alone, unless all are meant
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// for slug in ["pump", "tank"] {
    ///     Project::create().organization_id(1).slug(slug).name(slug).execute(db)?;
    /// }
    /// let of_one = || Project::create_or_update().organization_id(1).defaults(|d| d.events(5));
    /// assert!(matches!(of_one().execute(db), Err(Error::Query(_))));
    /// assert_eq!(of_one().matching(projects::name.ne("tank")).execute(db)?, CreateOrUpdate::Updated(1));
    /// assert_eq!(of_one().all_matches().execute(db)?, CreateOrUpdate::Updated(2));
    /// # Ok(()) }) }
    /// ```
    #[must_use]
    fn create_or_update() -> Self::Builder<Upsert<Self>> {
        Self::builder(Upsert::new())
    }

    /// Starts a lookup that inserts the row where there is none; `execute` returns the row and whether it
    /// was created. `.matching(predicate)` narrows the lookup, as that of
    /// [`create_or_update`](Self::create_or_update). Several rows that match are an
    /// [`Error::Query`](crate::Error::Query).
    ///
    /// SQL: `SELECT`, and if no row matched `INSERT … ON CONFLICT DO NOTHING RETURNING` (on MySQL `INSERT` in a
    /// savepoint); if another writer was faster, the `SELECT` again. Cache: as
    /// [`create`](Self::create).
    ///
    /// # Example: the second call finds what the first created
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// for expected in [true, false] {
    ///     let (_, created) = Project::get_or_create()
    ///         .slug("pump")
    ///         .defaults(|d| d.organization_id(1).name("Pump"))
    ///         .execute(db)?;
    ///     assert_eq!(created, expected);
    /// }
    /// # Ok(()) }) }
    /// ```
    #[must_use]
    fn get_or_create() -> Self::Builder<GetOrCreate<Self>> {
        Self::builder(GetOrCreate::new())
    }

    /// Saves rows, all or none, and returns how many were written: what [`Tracked::save`] does with each.
    ///
    /// Rows without edits are left out. Where one row fails, the rows before it are taken back: in the database, and
    /// their baselines in memory.
    ///
    /// SQL: `BEGIN` (inside a transaction, a savepoint), the statement of each row, `COMMIT`; nothing where nothing
    /// changed. Cache: one round trip before and one after the commit, whatever the number of rows.
    ///
    /// # Errors
    /// As [`Tracked::save`], of the first row that fails.
    ///
    /// # Example: one row is new, one was edited
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// let stored = Project::create().organization_id(1).slug("valve").name("Valve").execute(db)?;
    /// let mut projects = vec![stored, Tracked::new(project())];
    /// projects[0].name = "Main valve".into();
    /// assert_eq!(Project::save_many(db, &mut projects)?, 2);
    /// assert_eq!(Project::save_many(db, &mut projects)?, 0);
    /// # Ok(()) }) }
    /// ```
    fn save_many<'d, S, R>(db: &'d mut S, rows: R) -> S::Out<'d, usize>
    where
        S: Runner,
        R: IntoIterator<Item = &'d mut Tracked<Self>>,
        SaveMany<'d, Self>: Operation<S, Output = usize>,
    {
        db.drive(SaveMany::new(rows.into_iter().collect()))
    }

    /// Starts an UPDATE of every row that matches a Diesel predicate: set fields, then `execute`, which returns how
    /// many rows there were. Every cached row among them is invalidated.
    ///
    /// A bound that refuses one row refuses all: [`Error::OutOfBounds`](crate::Error::OutOfBounds), and nothing is
    /// written. The primary key cannot be assigned.
    ///
    /// SQL: one statement where the model is not cached and nothing is guarded; else `BEGIN`, `UPDATE … RETURNING`
    /// of the keys (without RETURNING, `SELECT … FOR UPDATE` before it), one `SELECT` per guard, `COMMIT`. Cache:
    /// one round trip before and one after the commit for each 2048 rows.
    ///
    /// # Example: reset the counters of one organization
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
    /// let rows = Project::update_where(projects::organization_id.eq(1)).events(0).execute(db)?;
    /// assert_eq!(rows, 1);
    /// # Ok(()) }) }
    /// ```
    fn update_where<P>(predicate: P) -> Self::Builder<UpdateWhere<Self, P>>
    where
        P: Predicate<Self>,
    {
        Self::builder(UpdateWhere::new(predicate))
    }

    /// Starts a DELETE of every row that matches a Diesel predicate; `execute` returns how many there were. Every
    /// cached row among them is invalidated.
    ///
    /// SQL: one statement where the model is not cached; else `BEGIN`, `DELETE … RETURNING` of the keys (without
    /// RETURNING, `SELECT … FOR UPDATE` before it), `COMMIT`. Cache: as [`update_where`](Self::update_where).
    ///
    /// # Example: delete what nobody uses
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
    /// let rows = Project::delete_where(projects::events.eq(0)).execute(db)?;
    /// assert_eq!(rows, 1);
    /// # Ok(()) }) }
    /// ```
    fn delete_where<P>(predicate: P) -> DeleteWhere<Self, P>
    where
        P: Predicate<Self>,
    {
        DeleteWhere::new(predicate)
    }

    /// The row with this primary key or unique field, from the cache where it is there.
    ///
    /// The result is never older than what was committed when the call began; of a model with `near = "1s"`, a second
    /// before. Inside a transaction the database answers.
    ///
    /// Fields of type [`Uncached`](crate::Uncached) are not loaded, whoever answers; [`Tracked::refresh`] loads them.
    ///
    /// A hit costs one round trip to the cache, or none where this process has a copy, and no SQL. A miss by primary key costs three round trips
    /// (look, lease, fill) and one SELECT; a miss by a unique field one SELECT.
    ///
    /// # Errors
    /// [`Error::DoesNotExist`](crate::Error::DoesNotExist) where no row matches;
    /// [`Error::Database`](crate::Error::Database). A cache failure is not an error: the database answers.
    ///
    /// # Example: by primary key, by a unique field, by a pair of fields
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # let created = Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
    /// let project = Project::get_from_cache(db, projects::slug, "pump")?;
    /// assert_eq!(Project::get_from_cache(db, projects::id, project.id)?, project);
    /// let columns = (projects::organization_id, projects::name);
    /// assert_eq!(Project::get_from_cache(db, columns, (1, "Pump"))?, project);
    /// # Ok(()) }) }
    /// ```
    fn get_from_cache<'d, S, C, K>(db: &'d mut S, _column: C, key: K) -> S::Out<'d, Tracked<Self>>
    where
        S: Runner,
        C: CacheKey<Self>,
        K: KeyFor<C::Cols>,
        Get<Self, C::Cols>: Operation<S, Output = Tracked<Self>> + 'd,
    {
        db.drive(Get::new(key.into_key(), C::KIND))
    }

    /// The same, past the copies that `near = "…"` keeps in this process: never older than what was committed when the
    /// call began. For a model without `near` it is [`get_from_cache`](Self::get_from_cache).
    ///
    /// A hit costs one round trip to the cache, and leaves a copy.
    ///
    /// # Errors
    /// As [`get_from_cache`](Self::get_from_cache).
    ///
    /// # Example: before a decision that must not rest on a copy
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
    /// let project = Project::get_fresh_from_cache(db, projects::slug, "pump")?;
    /// assert_eq!(project.name, "Pump");
    /// # Ok(()) }) }
    /// ```
    fn get_fresh_from_cache<'d, S, C, K>(db: &'d mut S, _column: C, key: K) -> S::Out<'d, Tracked<Self>>
    where
        S: Runner,
        C: CacheKey<Self>,
        K: KeyFor<C::Cols>,
        Get<Self, C::Cols>: Operation<S, Output = Tracked<Self>> + 'd,
    {
        db.drive(Get::new(key.into_key(), C::KIND).fresh())
    }

    /// The rows with these primary keys or unique fields, in the order of the keys; `None` where there is none.
    ///
    /// What [`get_from_cache`](Self::get_from_cache) promises holds for each row. A key that is there twice is asked
    /// for once.
    ///
    /// For each 256 keys: hits cost one round trip; what is missing by primary key one more for the leases, one
    /// SELECT and one for the fills; what is missing by a unique field one SELECT and one more round trip. Texts that
    /// are not there, beside others that are, cost another SELECT: a collation may take them for the same.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database). A row that is not there is no error.
    ///
    /// # Example: the order is that of the keys
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
    /// let found = Project::get_many_from_cache(db, projects::slug, ["nope", "pump"])?;
    /// assert!(found[0].is_none());
    /// assert_eq!(found[1].as_ref().map(|project| project.name.as_str()), Some("Pump"));
    /// # Ok(()) }) }
    /// ```
    fn get_many_from_cache<'d, S, C, I>(
        db: &'d mut S,
        _column: C,
        keys: I,
    ) -> S::Out<'d, Vec<Option<Tracked<Self>>>>
    where
        S: Runner,
        C: CacheKey<Self>,
        I: IntoIterator<Item: KeyFor<C::Cols>>,
        GetMany<Self, C::Cols>: Operation<S, Output = Vec<Option<Tracked<Self>>>> + 'd,
    {
        db.drive(GetMany::new(keys.into_iter().map(KeyFor::into_key).collect(), C::KIND))
    }

    /// Tells the cache that other programs, or plain Diesel, changed the rows with these primary keys, or inserted or
    /// removed rows with these unique values.
    ///
    /// In a transaction of the session the keys are treated as touched by it: nothing stale is served from its commit
    /// on. Outside one the entries are deleted now, and readers that asked the database before do not fill.
    ///
    /// Under a primary key lies the row's entry; under a unique value a hint that is checked anyway, or the absence
    /// that `negative = "…"` remembers. SQL: none. Cache: one round trip for each 256 keys, in a transaction with those
    /// of its commit.
    ///
    /// # Errors
    /// [`Error::Cache`](crate::Error::Cache) where the cache does not answer; the keys are remembered then, and told
    /// later.
    ///
    /// # Example: an UPDATE of plain Diesel
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use diesel::prelude::*;
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # let id = Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?.id;
    /// db.transaction(|db| {
    ///     diesel::update(projects::table.find(id)).set(projects::name.eq("Tank")).execute(db.connection())?;
    ///     Project::invalidate(db, projects::id, [id])
    /// })?;
    /// assert_eq!(Project::get_from_cache(db, projects::id, id)?.name, "Tank");
    /// # Ok(()) }) }
    /// ```
    fn invalidate<'d, S, C, I>(db: &'d mut S, _column: C, keys: I) -> S::Out<'d, ()>
    where
        S: Runner,
        C: CacheKey<Self>,
        I: IntoIterator<Item: KeyFor<C::Cols>>,
        Invalidate<Self, C::Cols>: Operation<S, Output = ()> + 'd,
    {
        db.drive(Invalidate::new(keys.into_iter().map(KeyFor::into_key).collect()))
    }

    /// Compares the model with its live table and lists what is wrong, each with its remedy; nothing where all is
    /// well.
    ///
    /// It finds a missing table or column, a type or a nullability that does not fit, a primary key or cached lookup
    /// without a unique index, a timestamp without microseconds, and a bounded field without a CHECK. What the model
    /// does not name is not looked at.
    ///
    /// SQL: three statements on the database's catalog. Cache: nothing.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    ///
    /// # Example: a test of your service
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// let problems = Project::verify_schema(db)?;
    /// let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    /// assert_eq!(texts, ["Project: no CHECK keeps the column `events` in 0..=2147483647; add what `migration_sql` prints"]);
    /// # Ok(()) }) }
    /// ```
    fn verify_schema<'d, S>(db: &'d mut S) -> S::Out<'d, Vec<SchemaProblem>>
    where
        S: Runner,
        VerifySchema<Self>: Operation<S, Output = Vec<SchemaProblem>> + 'd,
    {
        db.drive(VerifySchema::new())
    }

    /// The SQL that adds the unique indexes of the cached lookups and the CHECKs of the bounded fields, for a migration:
    /// remove what the table has already.
    ///
    /// SQLite cannot add a CHECK to a table; there it is a pair of triggers.
    ///
    /// # Errors
    /// [`Error::Query`](crate::Error::Query) for a backend that this crate does not know.
    ///
    /// # Example: print it once
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> {
    /// let sql = Project::migration_sql(diesel::sqlite::Sqlite)?;
    /// assert!(sql.contains("CREATE UNIQUE INDEX `projects_slug_key` ON `projects` (`slug`);"), "{sql}");
    /// # Ok(()) }
    /// ```
    fn migration_sql<DB: Dialect>(_backend: DB) -> Result<String>
    where
        Self: ModelSql<DB>,
    {
        schema::migration_sql::<Self, DB>(catalog::<Self, DB>()?)
    }

    /// The SQL of the table that keys are stored in for `outage = "outbox"`, one for all models, for a migration.
    ///
    /// # Errors
    /// [`Error::Query`](crate::Error::Query) for a backend that this crate does not know.
    fn outbox_sql<DB: Dialect>(_backend: DB) -> Result<String> {
        Ok(format!("{}\n", catalog::<Self, DB>()?.outbox.table))
    }

    /// The SQL of triggers that store the keys of rows which any program writes, for a migration: with a sweep now and
    /// then ([`sweep_outbox`](crate::Session::sweep_outbox)) the cache learns of SQL from outside too.
    ///
    /// Until the sweep, what was cached before may be served.
    ///
    /// # Errors
    /// [`Error::Query`](crate::Error::Query) for a backend that this crate does not know, a model that is not cached, and
    /// a key whose text the database does not have: it must be an integer, a text, or, on PostgreSQL, a UUID.
    ///
    /// # Example: print it once
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> {
    /// let sql = Project::outbox_triggers_sql(diesel::sqlite::Sqlite)?;
    /// assert!(sql.contains("AFTER UPDATE ON `projects`"), "{sql}");
    /// # Ok(()) }
    /// ```
    fn outbox_triggers_sql<DB: Dialect>(_backend: DB) -> Result<String>
    where
        Self: ModelSql<DB>,
    {
        schema::triggers_sql::<Self, DB>(catalog::<Self, DB>()?)
    }

    /// Each row with the one that it refers to by a foreign key, looked up at once; `None` where the foreign key is
    /// NULL, or the row is gone.
    ///
    /// SQL and cache: as [`get_many_from_cache`](Self::get_many_from_cache) by primary key; a row that is referred to
    /// twice is asked for once.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    ///
    /// # Example: projects with their organizations
    /// ```
    /// use diesel::prelude::*;
    /// use model_runtime::prelude::*;
    /// # diesel::table! { organizations (id) { id -> Integer, name -> Text } }
    /// # diesel::table! { projects (id) { id -> Integer, organization_id -> Nullable<Integer> } }
    /// # #[derive(Queryable, Selectable, SentryModel)]
    /// # #[diesel(table_name = organizations)]
    /// # #[cache_fields()]
    /// # struct Organization { id: i32, name: String }
    /// # #[derive(Queryable, Selectable, SentryModel)]
    /// # #[diesel(table_name = projects)]
    /// # struct Project { id: i32, organization_id: Option<i32> }
    ///
    /// fn names(db: &mut Session<'_, SqliteConnection>) -> Result<Vec<Option<String>>, Error> {
    ///     let rows = projects::table.select(Tracked::<Project>::as_select()).load(db.connection())?;
    ///     let rows = Organization::attach(db, rows, projects::organization_id)?;
    ///     Ok(rows.into_iter().map(|(_, organization)| Some(organization?.name.clone())).collect())
    /// }
    /// ```
    fn attach<'d, S, R, C, V>(
        db: &'d mut S,
        rows: Vec<Tracked<R>>,
        _foreign_key: C,
    ) -> S::Out<'d, Attached<R, Self>>
    where
        S: Runner,
        R: SentryModel,
        C: FieldOf<R, Value: ForeignKey<V>>,
        Self::Pk: KeyCols<Key = (V,)>,
        Attach<Self, R>: Operation<S, Output = Attached<R, Self>> + 'd,
    {
        db.drive(Attach::new(rows, |row| C::get(row).key().map(|key| (key,))))
    }
}

fn catalog<M: SentryModel, DB: Dialect>() -> Result<&'static Catalog> {
    let unknown = || Error::Query(format!("{}: nobody told what this database's tables need", M::NAME));
    DB::CATALOG.ok_or_else(unknown)
}
