use super::{HasDefaults, HasOnInsert, HasPatch, Operation};
use crate::engine::{Call, Executor, Lookup, Matches, create_or_update, get_or_create};
use crate::error::Result;
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use std::fmt;

/// What [`create_or_update`](SentryModel::create_or_update) did.
#[derive(Debug, PartialEq)]
pub enum CreateOrUpdate<M> {
    /// No row matched; this one was inserted.
    Created(Tracked<M>),
    /// This many rows matched and were updated.
    Updated(usize),
}

/// An upsert; made by [`SentryModel::create_or_update`].
pub struct Upsert<M: SentryModel, P = NoPredicate> {
    lookup: M::Patch,
    predicate: Option<P>,
    matches: Matches,
    defaults: M::Patch,
    on_insert: M::Patch,
}

/// A lookup that inserts; made by [`SentryModel::get_or_create`].
pub struct GetOrCreate<M: SentryModel, P = NoPredicate> {
    lookup: M::Patch,
    predicate: Option<P>,
    defaults: M::Patch,
}

/// A lookup by fields alone; [`HasMatching::matching`] puts a predicate in its place.
#[derive(Debug)]
pub enum NoPredicate {}

impl<DB: Backend> QueryFragment<DB> for NoPredicate {
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        match *self {}
    }
}

/// A lookup by fields, which `.matching(predicate)` narrows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes no `matching`",
    label = "`matching` narrows the lookup of `create_or_update()` and of `get_or_create()`, once",
    note = "join several conditions with `.and(…)`; to write the rows of a predicate alone there is `update_where(…)`"
)]
pub trait HasMatching {
    /// The same with a predicate of type `P`.
    type With<P>;

    /// The same for the rows alone that meet the predicate as well.
    fn matching<P>(self, predicate: P) -> Self::With<P>;
}

/// An upsert, which `.all_matches()` lets update several rows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `all_matches`",
    label = "`all_matches` lets `create_or_update()` update several rows",
    note = "`update_where(…)` updates every row that matches by itself; `get_or_create()` is for one row"
)]
pub trait HasAllMatches {
    /// Lets it update every row that matches.
    fn set_all_matches(&mut self);
}

/// What an upsert writes beside its lookup.
#[derive(Debug)]
pub struct Defaults<M: SentryModel>(M::Patch);

impl<M: SentryModel> Upsert<M> {
    pub(crate) fn new() -> Self {
        let (lookup, defaults, on_insert) = Default::default();
        Self { lookup, predicate: None, matches: Matches::One, defaults, on_insert }
    }
}

impl<M: SentryModel> GetOrCreate<M> {
    pub(crate) fn new() -> Self {
        Self { lookup: M::Patch::default(), predicate: None, defaults: M::Patch::default() }
    }
}

impl<M: SentryModel, P> fmt::Debug for Upsert<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upsert").finish_non_exhaustive()
    }
}

impl<M: SentryModel, P> fmt::Debug for GetOrCreate<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrCreate").finish_non_exhaustive()
    }
}

impl<M: SentryModel> HasMatching for Upsert<M> {
    type With<P> = Upsert<M, P>;

    fn matching<P>(self, predicate: P) -> Upsert<M, P> {
        let Self { lookup, predicate: _, matches, defaults, on_insert } = self;
        Upsert { lookup, predicate: Some(predicate), matches, defaults, on_insert }
    }
}

impl<M: SentryModel> HasMatching for GetOrCreate<M> {
    type With<P> = GetOrCreate<M, P>;

    fn matching<P>(self, predicate: P) -> GetOrCreate<M, P> {
        let Self { lookup, predicate: _, defaults } = self;
        GetOrCreate { lookup, predicate: Some(predicate), defaults }
    }
}

impl<M: SentryModel, P> HasAllMatches for Upsert<M, P> {
    fn set_all_matches(&mut self) {
        self.matches = Matches::All;
    }
}

impl<M: SentryModel> Defaults<M> {
    /// Nothing to write yet.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "generated code is its only caller")]
    pub fn new() -> Self {
        Self(M::Patch::default())
    }

    /// The assignments.
    #[must_use]
    pub fn into_patch(self) -> M::Patch {
        self.0
    }
}

impl<M: SentryModel, P> HasPatch<M> for Upsert<M, P> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.lookup
    }
}

impl<M: SentryModel, P> HasPatch<M> for GetOrCreate<M, P> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.lookup
    }
}

impl<M: SentryModel> HasPatch<M> for Defaults<M> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.0
    }
}

impl<M: SentryModel, P> HasDefaults<M> for Upsert<M, P> {
    fn set_defaults(&mut self, defaults: M::Patch) {
        self.defaults = defaults;
    }
}

impl<M: SentryModel, P> HasDefaults<M> for GetOrCreate<M, P> {
    fn set_defaults(&mut self, defaults: M::Patch) {
        self.defaults = defaults;
    }
}

impl<M: SentryModel, P> HasOnInsert<M> for Upsert<M, P> {
    fn set_on_insert(&mut self, values: M::Patch) {
        self.on_insert = values;
    }
}

impl<M, P, S> Operation<S> for Upsert<M, P>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Send + Sync,
    S: Executor,
{
    type Output = CreateOrUpdate<M>;

    async fn run(self, db: &mut S) -> Result<CreateOrUpdate<M>> {
        let call = Call::CreateOrUpdate(self.matches);
        let lookup = Lookup::new(call, &self.lookup, self.predicate.as_ref())?;
        create_or_update(db, &lookup, self.defaults, self.on_insert).await
    }
}

impl<M, P, S> Operation<S> for GetOrCreate<M, P>
where
    M: ModelSql<S::Backend>,
    P: QueryFragment<S::Backend> + Send + Sync,
    S: Executor,
{
    type Output = (Tracked<M>, bool);

    async fn run(self, db: &mut S) -> Result<Self::Output> {
        let lookup = Lookup::new(Call::GetOrCreate, &self.lookup, self.predicate.as_ref())?;
        get_or_create(db, &lookup, self.defaults).await
    }
}
