//! What a model does around its own writes: checks before, reactions after the commit.
use crate::field::{Assign, FieldOf};
use crate::model::SentryModel;
use std::error::Error as StdError;
use std::fmt;

/// What a hook returns where it fails.
pub type HookError = Box<dyn StdError + Send + Sync>;

/// Code of a model that runs around its writes; opt in with `#[sentry(hooks)]`.
///
/// [`before_write`](Self::before_write) can change or refuse what is about to be written. The others run after the
/// commit, in the order of the writes, and never for a write that was rolled back; one that fails or panics is logged
/// as an error, and neither stops the others nor fails the write. They run on the caller's thread before its call
/// returns, so leave slow work to a queue.
///
/// | call | `before_write` | `after_commit` | `after_delete` |
/// | --- | --- | --- | --- |
/// | `create`, `create_many`, `save`, `save_many` of a new row | once per row | once per row | |
/// | `update`, `save`, `save_many` of a stored row | once per row | once per row hit | |
/// | the insert of `create_or_update` and `get_or_create` | once | once | |
/// | the update of `create_or_update`, `update_where` | once per call | | |
/// | `delete` | | | once, where the row was there |
///
/// Writes by predicate have no row in hand: they run no hook after the commit, as querysets of Django send no signal.
/// In a transaction that the session did not open nobody learns of the commit, and the hooks after it do not run; that
/// is logged as a warning.
///
/// # Example: an audit trail and a rule
/// ```
/// use diesel::prelude::*;
/// use model_runtime::prelude::*;
/// use model_runtime::{HookError, Hooks, Pending, Saved};
/// # diesel::table! { projects (id) { id -> Integer, slug -> Text } }
///
/// #[derive(Debug, Queryable, Selectable, SentryModel)]
/// #[diesel(table_name = projects)]
/// #[sentry(hooks)]
/// struct Project { #[bounded(auto)] id: i32, slug: String }
///
/// impl Hooks for Project {
///     fn before_write(pending: &mut Pending<'_, Self>) -> Result<(), HookError> {
///         match pending.value(projects::slug) {
///             Some(slug) if slug.contains(' ') => Err("a slug has no spaces".into()),
///             _ => Ok(()),
///         }
///     }
///
///     fn after_commit(saved: &Saved<'_, Self>) -> Result<(), HookError> {
///         println!("{} wrote {:?}", saved.row().slug, saved.fields().collect::<Vec<_>>());
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = SqliteConnection::establish(":memory:")?;
/// # diesel::sql_query("CREATE TABLE projects (id INTEGER PRIMARY KEY, slug TEXT NOT NULL)").execute(&mut conn)?;
/// # let cache = Cache::memory();
/// # let mut db = Session::new(&mut conn, &cache);
/// Project::create().slug("pump").execute(&mut db)?;
/// let refused = Project::create().slug("a pump").execute(&mut db).unwrap_err();
/// assert!(refused.to_string().contains("a slug has no spaces"));
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has `#[sentry(hooks)]` and no hooks",
    label = "`Hooks` is not implemented",
    note = "write `impl Hooks for {Self} {{ … }}`, or remove `#[sentry(hooks)]`"
)]
pub trait Hooks: SentryModel {
    /// Runs before the statement of a write is sent. What it sets is written too; an error refuses the write.
    ///
    /// Timestamps and defaults are filled in after it. Columns of `set_sql` are not seen, and win over what it sets; it
    /// cannot move rows that are not in hand to another primary key.
    ///
    /// # Errors
    /// The caller gets it as [`Error::Refused`](crate::Error::Refused), and nothing is sent.
    fn before_write(_pending: &mut Pending<'_, Self>) -> Result<(), HookError> {
        Ok(())
    }

    /// Runs after the commit of a row that was inserted or updated.
    ///
    /// # Errors
    /// Logged; the write stays.
    fn after_commit(_saved: &Saved<'_, Self>) -> Result<(), HookError> {
        Ok(())
    }

    /// Runs after the commit of a row's deletion.
    ///
    /// # Errors
    /// Logged; the row stays deleted.
    fn after_delete(_row: &Self) -> Result<(), HookError> {
        Ok(())
    }
}

/// Which statement is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Write {
    /// An INSERT.
    Insert,
    /// An UPDATE.
    Update,
}

/// What a statement is about to write.
pub struct Pending<'p, M: SentryModel> {
    patch: &'p mut M::Patch,
    write: Write,
}

impl<'p, M: SentryModel> Pending<'p, M> {
    pub(crate) fn new(patch: &'p mut M::Patch, write: Write) -> Self {
        Self { patch, write }
    }

    /// Whether a row is inserted or updated.
    #[must_use]
    pub fn write(&self) -> Write {
        self.write
    }

    /// Whether the field is written, be it with a value or with an expression.
    pub fn writes<C: FieldOf<M>>(&mut self, _column: C) -> bool {
        C::slot(self.patch).is_some()
    }

    /// The value that is written to the field; `None` where it is left out, or where the database computes it.
    pub fn value<C: FieldOf<M>>(&mut self, _column: C) -> Option<&C::Value> {
        match C::slot(self.patch) {
            Some(Assign::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// Writes this value to the field, whatever was given; an integer outside its bounds refuses the write.
    pub fn set<C: FieldOf<M>>(&mut self, _column: C, value: C::Value) {
        *C::slot(self.patch) = Some(Assign::checked(value));
    }
}

impl<M: SentryModel> fmt::Debug for Pending<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("write", &self.write).finish_non_exhaustive()
    }
}

/// A row that was written and is committed.
pub struct Saved<'s, M> {
    row: &'s M,
    write: Write,
    mask: u64,
}

impl<'s, M: SentryModel> Saved<'s, M> {
    pub(crate) fn new(row: &'s M, write: Write, mask: u64) -> Self {
        Self { row, write, mask }
    }

    /// The row as the write stored it.
    #[must_use]
    pub fn row(&self) -> &'s M {
        self.row
    }

    /// Whether it was inserted or updated.
    #[must_use]
    pub fn write(&self) -> Write {
        self.write
    }

    /// The names of the fields that were written, in the order of the struct; of an inserted row all.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        let mask = self.mask;
        M::FIELDS.iter().enumerate().filter(move |(i, _)| mask >> i & 1 == 1).map(|(_, field)| *field)
    }

    /// Whether the field was written.
    pub fn wrote<C: FieldOf<M>>(&self, _column: C) -> bool {
        self.mask >> C::INDEX & 1 == 1
    }
}

impl<M: SentryModel> fmt::Debug for Saved<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved").field("write", &self.write).finish_non_exhaustive()
    }
}

/// The hooks of one model; `None` in [`SentryModel::hooks`] for a model without.
pub struct HookSpec<M: SentryModel> {
    pub(crate) before_write: fn(&mut Pending<'_, M>) -> Result<(), HookError>,
    pub(crate) after_commit: fn(&Saved<'_, M>) -> Result<(), HookError>,
    pub(crate) after_delete: fn(&M) -> Result<(), HookError>,
}

/// The hooks of the trait.
// A function, because rustc has its own words for a method whose bounds do not hold.
#[must_use]
pub const fn hooks_of<M: Hooks>() -> HookSpec<M> {
    HookSpec { before_write: M::before_write, after_commit: M::after_commit, after_delete: M::after_delete }
}

impl<M: SentryModel> fmt::Debug for HookSpec<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSpec")
    }
}
