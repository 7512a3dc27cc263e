//! `Tracked<M>`: a row that knows what the database holds.
use crate::changes::Changes;
use crate::engine::Updated;
use crate::error::{Error, Result};
use crate::field::uncached::NOT_LOADED;
use crate::field::{FieldOf, Uncached};
use crate::model::SentryModel;
use crate::operation::{Delete, Operation, Refresh, Save, Update};
use crate::session::{Runner, TransactionNode};
use diesel::backend::Backend;
use diesel::deserialize::{self, Queryable};
use diesel::expression::Selectable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A row together with its baseline: the values that the database holds as far as this instance knows.
///
/// It derefs to the row. The baseline is copied on the first mutable access and costs nothing before.
/// Rows come tracked from this crate's operations, and from plain Diesel through
/// `.select(Tracked::<Project>::as_select())`, also in joins and in `.returning(…)`.
///
/// # Example: which fields differ from the stored row
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
/// use model_runtime::prelude::*;
///
/// # fn main() -> Result<(), Error> { session(|db| {
/// let mut project = Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
/// project.name = "Pump station".into();
/// assert!(project.has_changed(projects::name));
/// assert_eq!(project.old_value(projects::name).map(String::as_str), Some("Pump"));
/// project.save(db)?;
/// assert!(!project.has_changed(projects::name));
/// # Ok(()) }) }
/// ```
pub struct Tracked<M> {
    row: M,
    stored: bool,
    history: Option<Box<History<M>>>,
}

/// What an instance keeps once it was touched.
struct History<M> {
    /// The baseline, where the row was accessed mutably since.
    base: Option<M>,
    /// What was before each open transaction or savepoint that wrote this row. A stack: an inner rollback can be followed
    /// by an outer one.
    undo: Vec<Undo<M>>,
    /// The stored row before and after the last write.
    saved: Option<(M, M)>,
}

/// What a rollback restores.
struct Undo<M> {
    node: Arc<TransactionNode>,
    /// The baseline; `None` where no row was stored yet, or where the row was read there and not written.
    before: Option<M>,
    /// Bit *i* is set where memory took field *i* from a statement, without an edit: a rollback takes it back.
    taken: u64,
    /// Whether the row was first read there: what was before is not known, and asked of the database after a rollback.
    was_read: bool,
}

impl<M> History<M> {
    /// What was written in a savepoint that was committed, belongs to the transaction around it.
    fn fold(&mut self) {
        for undo in &mut self.undo {
            while let Some(joined) = undo.node.joined() {
                undo.node = joined.clone();
            }
        }
        // The baseline before the first write of a transaction is the one that its rollback restores.
        self.undo.dedup_by(|later, earlier| {
            let same = Arc::ptr_eq(&later.node, &earlier.node);
            if same {
                earlier.taken |= later.taken;
                // Only read there, and first written in a savepoint.
                if earlier.was_read && earlier.before.is_none() {
                    earlier.before = later.before.take();
                }
            }
            same
        });
    }

    /// What was written or read in a transaction that was rolled back, or in savepoints of it; the oldest first.
    fn rolled_back(&self) -> &[Undo<M>] {
        let oldest = self.undo.iter().position(|undo| undo.node.is_rolled_back());
        &self.undo[oldest.unwrap_or(self.undo.len())..]
    }
}

impl<M> Default for History<M> {
    fn default() -> Self {
        Self { base: None, undo: Vec::new(), saved: None }
    }
}

impl<M: SentryModel> Tracked<M> {
    /// An unsaved instance: [`save`](Self::save) inserts it.
    ///
    /// # Example: insert a struct
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// let mut project = Tracked::new(project());
    /// assert!(!project.has_changed(projects::name));
    /// assert_eq!(project.old_value(projects::name), None);
    /// project.save(db)?;
    /// assert_eq!(project.old_value(projects::name), Some(&project.name));
    /// # Ok(()) }) }
    /// ```
    pub fn new(row: M) -> Self {
        Self { row, stored: false, history: None }
    }

    pub(crate) fn stored(row: M) -> Self {
        Self { row, stored: true, history: None }
    }

    /// Whether the field differs from the stored value; `false` for an unsaved instance.
    pub fn has_changed<C: FieldOf<M>>(&self, _column: C) -> bool {
        self.known_baseline().is_some_and(|base| C::get(base) != C::get(&self.row))
            && self.taken_back() >> C::INDEX & 1 == 0
    }

    /// The stored value as far as this instance knows; `None` for an unsaved instance, and for one that was read in a
    /// transaction which was rolled back: the next write of it asks the database first.
    pub fn old_value<C: FieldOf<M>>(&self, _column: C) -> Option<&C::Value> {
        self.known_baseline().map(C::get)
    }

    /// The value of an [`Uncached`] field.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] where the row came from a lookup through the cache, which leaves the field out, or where the
    /// transaction that loaded it was rolled back; call [`refresh`](Self::refresh).
    pub fn loaded<C, T>(&self, _column: C) -> Result<&T>
    where
        C: FieldOf<M, Value = Uncached<T>>,
    {
        let not_loaded =
            || Error::InvalidValue { model: M::NAME, field: C::FIELD, reason: NOT_LOADED.into() };
        let is_taken_back = self.taken_back() >> C::INDEX & 1 == 1;
        C::get(&self.row).get().filter(|_| !is_taken_back).ok_or_else(not_loaded)
    }

    /// What was edited since the row was stored; nothing for an unsaved instance.
    pub fn changes(&self) -> Changes<'_, M> {
        self.known_baseline()
            .map_or_else(Changes::none, |base| Changes::between(base, &self.row, self.edits(base)))
    }

    /// What the last `save` or `update` of this instance changed in the database; nothing before the first one, after
    /// an insert, and after it was rolled back.
    pub fn saved_changes(&self) -> Changes<'_, M> {
        let saved = self
            .history
            .as_ref()
            .filter(|_| !self.is_rolled_back())
            .and_then(|history| history.saved.as_ref());
        saved.map_or_else(Changes::none, |(before, after)| {
            Changes::between(before, after, after.dirty(before))
        })
    }

    /// Takes the edits back: every field has its stored value again. Does nothing to an unsaved instance.
    pub fn reset(&mut self) {
        if let Some(row) = self.baseline().map(M::snapshot) {
            self.settle();
            self.row = row;
            if let Some(history) = &mut self.history {
                history.base = None;
            }
        }
    }

    /// Reads the row again, past the cache; edits are lost.
    ///
    /// SQL: `SELECT` by the primary key. Cache: nothing.
    ///
    /// # Errors
    /// [`Error::Unsaved`](crate::Error::Unsaved); [`Error::DoesNotExist`](crate::Error::DoesNotExist) where the row
    /// is gone, and memory is as it was; [`Error::Database`](crate::Error::Database).
    pub fn refresh<'d, S: Runner>(&'d mut self, db: &'d mut S) -> S::Out<'d, ()>
    where
        Refresh<'d, M>: Operation<S, Output = ()>,
    {
        db.drive(Refresh::new(self))
    }

    /// Starts an UPDATE of this row: set fields to values or `F` expressions, then `execute`, which returns
    /// whether the row was there.
    ///
    /// The assigned fields take the values the database stored, and so do the others that the statement returned and that
    /// were not edited in memory; edits stay edits. Where the row is gone, nothing in memory changes.
    ///
    /// SQL: `UPDATE … WHERE primary key RETURNING` (1 statement). Cache: one intent before and one release
    /// after, 1 round trip each; inside a transaction both follow the commit.
    ///
    /// # Example: values and expressions
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # let mut project = Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
    /// assert!(project.update().name("Pump station").events(F(projects::events) + 1).execute(db)?);
    /// assert_eq!((project.name.as_str(), project.events), ("Pump station", 1));
    /// # Ok(()) }) }
    /// ```
    pub fn update(&mut self) -> M::Builder<Update<'_, M>> {
        M::builder(Update::new(self))
    }

    /// Writes the changed fields; inserts an unsaved instance.
    ///
    /// SQL: nothing where nothing changed; else `UPDATE … RETURNING` of the changed columns and the
    /// `#[auto_now]` ones, or `INSERT … RETURNING`. A field `#[bounded(auto)]` that holds 0 is left to the
    /// database on insert. Cache: as [`update`](Self::update).
    ///
    /// # Errors
    /// [`Error::DoesNotExist`](crate::Error::DoesNotExist) where the row is gone,
    /// [`Error::OutOfBounds`](crate::Error::OutOfBounds), [`Error::Database`](crate::Error::Database).
    pub fn save<'d, S: Runner>(&'d mut self, db: &'d mut S) -> S::Out<'d, ()>
    where
        Save<'d, M>: Operation<S, Output = ()>,
    {
        db.drive(Save::new(self))
    }

    /// Deletes the row and returns whether it was there; the instance is unsaved afterwards.
    ///
    /// SQL: `DELETE … WHERE primary key` (1 statement). Cache: one intent before and one release after.
    ///
    /// # Errors
    /// [`Error::Unsaved`](crate::Error::Unsaved), [`Error::Database`](crate::Error::Database).
    pub fn delete<'d, S: Runner>(&'d mut self, db: &'d mut S) -> S::Out<'d, bool>
    where
        Delete<'d, M>: Operation<S, Output = bool>,
    {
        db.drive(Delete::new(self))
    }

    /// The row without its baseline.
    pub fn into_inner(self) -> M {
        self.row
    }

    /// The stored row as far as this instance knows; `None` where there is none.
    pub(crate) fn baseline(&self) -> Option<&M> {
        let Some(history) = &self.history else { return self.stored.then_some(&self.row) };
        let current = || self.stored.then(|| history.base.as_ref().unwrap_or(&self.row));
        match history.rolled_back() {
            [] => current(),
            // Read there: what it was before its first write, in whichever savepoint that was.
            undone @ [first, ..] if first.was_read => {
                undone.iter().find_map(|undo| undo.before.as_ref()).or_else(current)
            }
            [first, ..] => first.before.as_ref(),
        }
    }

    fn known_baseline(&self) -> Option<&M> {
        self.baseline().filter(|_| !self.is_unknown())
    }

    /// Whether [`save`](Self::save) would write anything.
    pub(crate) fn needs_save(&self) -> bool {
        self.is_unknown() || self.baseline().is_none_or(|base| self.edits(base) != 0)
    }

    /// Bit *i* is set where field *i* was edited since `base`.
    fn edits(&self, base: &M) -> u64 {
        self.row.dirty(base) & !self.taken_back()
    }

    /// The fields that memory took in a transaction which was rolled back since, and that were not edited: they are no
    /// edits, and take their old values back.
    fn taken_back(&self) -> u64 {
        let Some(history) = &self.history else { return 0 };
        let taken = history.rolled_back().iter().fold(0, |taken, undo| taken | undo.taken);
        taken & !history.base.as_ref().map_or(0, |base| self.row.dirty(base))
    }

    pub(crate) fn row(&self) -> &M {
        &self.row
    }

    /// The row was written. Memory takes what was assigned, and what is known of the rest where it was not edited: a
    /// trigger may have set it. Other edits stay dirty.
    pub(crate) fn wrote(&mut self, node: Option<Arc<TransactionNode>>, updated: Updated<M>) {
        let Updated { row: mut new, assigned, known } = updated;
        self.remember(node);
        let before = self.baseline().map(M::snapshot);
        let edited = before.as_ref().map_or(0, |before| self.row.dirty(before));
        // A write loads nothing but what it assigns.
        new.unload(self.row.unloaded() & !assigned);
        if let Some(base) = self.history.as_mut().and_then(|history| history.base.as_mut()) {
            let mut copy = new.snapshot();
            base.swap_fields(&mut copy, known);
        }
        let taken = known & !edited & !assigned & new.dirty(&self.row);
        self.row.swap_fields(&mut new, assigned | (known & !edited));
        self.stored = true;
        self.take(taken, assigned);
        self.saved(before);
    }

    /// Memory took the fields of `taken` as they are stored; those of `assigned` were given.
    fn take(&mut self, taken: u64, assigned: u64) {
        let Some(history) = &mut self.history else { return };
        history.undo.iter_mut().for_each(|undo| undo.taken &= !assigned);
        if let Some(undo) = history.undo.last_mut() {
            undo.taken |= taken;
        }
    }

    /// The row was written with the fields of `assigned`, and is `new` as a whole.
    pub(crate) fn replaced(&mut self, node: Option<Arc<TransactionNode>>, mut new: M, assigned: u64) {
        // A write loads nothing but what it assigns.
        new.unload(self.row.unloaded() & !assigned);
        self.remember(node);
        let before = self.baseline().map(M::snapshot);
        if let Some(history) = &mut self.history {
            history.base = None;
        }
        let taken = new.dirty(&self.row) & !assigned;
        self.row = new;
        self.stored = true;
        self.take(taken, assigned);
        self.saved(before);
    }

    /// The row was read again and is `new`.
    pub(crate) fn refreshed(&mut self, node: Option<Arc<TransactionNode>>, new: M) {
        if self.is_unknown() {
            self.became_known(&new);
        }
        self.remember(node);
        if let Some(history) = &mut self.history {
            history.base = None;
        }
        // Also what was not loaded before: the transaction may have written it.
        let taken = new.dirty(&self.row);
        self.row = new;
        self.take(taken, 0);
    }

    /// Keeps what the write changed, if there was a row before.
    fn saved(&mut self, before: Option<M>) {
        let after = self.baseline().map(M::snapshot);
        self.history.get_or_insert_default().saved = before.zip(after);
    }

    fn is_rolled_back(&self) -> bool {
        self.history
            .as_ref()
            .is_some_and(|history| history.undo.iter().any(|undo| undo.node.is_rolled_back()))
    }

    /// The row is gone.
    pub(crate) fn removed(&mut self, node: Option<Arc<TransactionNode>>) {
        self.remember(node);
        if let Some(history) = &mut self.history {
            history.base = None;
        }
        self.stored = false;
    }

    /// A row that was read in this transaction, if in any: it may have written the row, which a rollback takes back.
    #[inline]
    pub(crate) fn read(row: M, node: Option<Arc<TransactionNode>>) -> Self {
        let read_there = |node| {
            let undo = vec![Undo { node, before: None, taken: 0, was_read: true }];
            Box::new(History { undo, ..History::default() })
        };
        Self { row, stored: true, history: node.map(read_there) }
    }

    /// Whether the row was read in a transaction that was rolled back, so that its baseline is not known any more.
    pub(crate) fn is_unknown(&self) -> bool {
        let read_there = |undo: &Undo<M>| undo.was_read && undo.node.is_rolled_back();
        self.history.as_ref().is_some_and(|history| history.undo.iter().any(read_there))
    }

    /// The database has this row: fields that were neither edited nor written since the row was read take its values.
    pub(crate) fn became_known(&mut self, stored: &M) {
        let edited = self.baseline().map_or(0, |base| self.edits(base));
        let mut fresh = stored.snapshot();
        fresh.unload(self.row.unloaded());
        if let Some(history) = &mut self.history {
            history.undo.clear();
            history.saved = None;
            history.base = Some(fresh.snapshot());
        }
        // A deletion in that transaction was rolled back as well.
        self.stored = true;
        self.row.swap_fields(&mut fresh, !edited);
    }

    /// The row was just inserted: before `node` there was none.
    pub(crate) fn inserted(&mut self, node: Option<Arc<TransactionNode>>) {
        if let Some(node) = node {
            self.history.get_or_insert_default().undo.push(Undo {
                node,
                before: None,
                taken: 0,
                was_read: false,
            });
        }
    }

    /// Settles what the ends of earlier transactions mean, and keeps the baseline in case `node` rolls back.
    fn remember(&mut self, node: Option<Arc<TransactionNode>>) {
        self.settle();
        if let Some(history) = &mut self.history {
            history.undo.retain(|undo| !undo.node.is_committed());
            history.fold();
        }
        let Some(node) = node else {
            if let Some(history) = &mut self.history {
                history.undo.clear();
            }
            return;
        };
        let last = self.history.as_ref().and_then(|history| history.undo.last());
        let last = last.filter(|last| Arc::ptr_eq(&last.node, &node));
        let was_only_read = last.is_some_and(|last| last.was_read && last.before.is_none());
        if last.is_some() && !was_only_read {
            return;
        }
        let before = self.baseline().map(M::snapshot);
        let undo = &mut self.history.get_or_insert_default().undo;
        match undo.last_mut().filter(|_| was_only_read) {
            Some(last) => last.before = before,
            None => undo.push(Undo { node, before, taken: 0, was_read: false }),
        }
    }

    /// Makes the baseline of the oldest rolled-back transaction the current one, and takes back what was no edit.
    pub(crate) fn settle(&mut self) {
        let taken_back = self.taken_back();
        let Some(history) = &mut self.history else { return };
        let oldest = history.undo.iter().position(|undo| undo.node.is_rolled_back());
        if let Some(oldest) = oldest.filter(|oldest| !history.undo[*oldest].was_read) {
            let before = history.undo.drain(oldest..).next().and_then(|undo| undo.before);
            if let Some(before) = &before {
                self.row.swap_fields(&mut before.snapshot(), taken_back);
            }
            self.stored = before.is_some();
            history.base = before;
            history.saved = None;
        }
    }
}

impl<M> Deref for Tracked<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.row
    }
}

impl<M: SentryModel> DerefMut for Tracked<M> {
    fn deref_mut(&mut self) -> &mut M {
        // An edit is one beside what the database holds by now.
        self.settle();
        if self.stored && self.history.as_ref().is_none_or(|history| history.base.is_none()) {
            self.history.get_or_insert_default().base = Some(self.row.snapshot());
        }
        &mut self.row
    }
}

impl<M: SentryModel + Clone> Clone for Tracked<M> {
    fn clone(&self) -> Self {
        let history = self.history.as_ref().map(|history| {
            let undo = history.undo.iter().map(|undo| Undo {
                node: Arc::clone(&undo.node),
                before: undo.before.as_ref().map(M::snapshot),
                taken: undo.taken,
                was_read: undo.was_read,
            });
            let saved = history.saved.as_ref().map(|(before, after)| (before.snapshot(), after.snapshot()));
            Box::new(History { base: history.base.as_ref().map(M::snapshot), undo: undo.collect(), saved })
        });
        Self { row: self.row.clone(), stored: self.stored, history }
    }
}

impl<M: fmt::Debug> fmt::Debug for Tracked<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row.fmt(f)
    }
}

impl<M: PartialEq> PartialEq for Tracked<M> {
    /// Compares the rows as they are in memory.
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row
    }
}

impl<M: Serialize> Serialize for Tracked<M> {
    /// The row as it is in memory, without its baseline.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.row.serialize(serializer)
    }
}

impl<'de, M: SentryModel + Deserialize<'de>> Deserialize<'de> for Tracked<M> {
    /// A stored row without edits.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        M::deserialize(deserializer).map(Self::stored)
    }
}

impl<M, ST, DB> Queryable<ST, DB> for Tracked<M>
where
    DB: Backend,
    M: Queryable<ST, DB> + SentryModel,
{
    type Row = M::Row;

    fn build(row: Self::Row) -> deserialize::Result<Self> {
        Ok(Self::stored(M::build(row)?))
    }
}

impl<M: Selectable<DB>, DB: Backend> Selectable<DB> for Tracked<M> {
    type SelectExpression = M::SelectExpression;

    fn construct_selection() -> Self::SelectExpression {
        M::construct_selection()
    }
}
