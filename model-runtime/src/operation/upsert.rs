use super::matching::NoPredicate;
use super::{HasAllMatches, HasDefaults, HasMatching, HasOnInsert, HasPatch, Operation, RunMatching};
use crate::engine::{Call, Executor, Lookup, Matches, create_or_update, get_or_create};
use crate::error::Result;
use crate::model::{ModelSql, SentryModel};
use crate::tracked::Tracked;
use diesel::query_builder::QueryFragment;

/// What [`create_or_update`](SentryModel::create_or_update) did.
#[derive(Debug, PartialEq)]
pub enum CreateOrUpdate<M> {
    /// No row matched; this one was inserted.
    Created(Tracked<M>),
    /// This many rows matched and were updated.
    Updated(usize),
}

/// An upsert; made by [`SentryModel::create_or_update`].
#[derive(Debug)]
pub struct Upsert<M: SentryModel> {
    lookup: M::Patch,
    matches: Matches,
    defaults: M::Patch,
    on_insert: M::Patch,
}

/// A lookup that inserts; made by [`SentryModel::get_or_create`].
#[derive(Debug)]
pub struct GetOrCreate<M: SentryModel> {
    lookup: M::Patch,
    defaults: M::Patch,
}

/// What an upsert writes beside its lookup.
#[derive(Debug)]
pub struct Defaults<M: SentryModel>(M::Patch);

impl<M: SentryModel> Upsert<M> {
    pub(crate) fn new() -> Self {
        let (lookup, defaults, on_insert) = Default::default();
        Self { lookup, matches: Matches::One, defaults, on_insert }
    }
}

impl<M: SentryModel> GetOrCreate<M> {
    pub(crate) fn new() -> Self {
        Self { lookup: M::Patch::default(), defaults: M::Patch::default() }
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

impl<M: SentryModel> HasPatch<M> for Upsert<M> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.lookup
    }
}

impl<M: SentryModel> HasPatch<M> for GetOrCreate<M> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.lookup
    }
}

impl<M: SentryModel> HasPatch<M> for Defaults<M> {
    fn patch(&mut self) -> &mut M::Patch {
        &mut self.0
    }
}

impl<M: SentryModel> HasDefaults<M> for Upsert<M> {
    fn set_defaults(&mut self, defaults: M::Patch) {
        self.defaults = defaults;
    }
}

impl<M: SentryModel> HasDefaults<M> for GetOrCreate<M> {
    fn set_defaults(&mut self, defaults: M::Patch) {
        self.defaults = defaults;
    }
}

impl<M: SentryModel> HasOnInsert<M> for Upsert<M> {
    fn set_on_insert(&mut self, values: M::Patch) {
        self.on_insert = values;
    }
}

impl<M: SentryModel> HasAllMatches for Upsert<M> {
    fn set_all_matches(&mut self) {
        self.matches = Matches::All;
    }
}

impl<M: SentryModel> HasMatching for Upsert<M> {}

impl<M: SentryModel> HasMatching for GetOrCreate<M> {}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for Upsert<M> {
    type Output = CreateOrUpdate<M>;

    async fn run(self, db: &mut S) -> Result<CreateOrUpdate<M>> {
        self.run_matching::<NoPredicate>(db, None).await
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for GetOrCreate<M> {
    type Output = (Tracked<M>, bool);

    async fn run(self, db: &mut S) -> Result<Self::Output> {
        self.run_matching::<NoPredicate>(db, None).await
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> RunMatching<S> for Upsert<M> {
    async fn run_matching<P>(self, db: &mut S, predicate: Option<&P>) -> Result<CreateOrUpdate<M>>
    where
        P: QueryFragment<S::Backend> + Sync,
    {
        db.cache().admit::<M>()?;
        let lookup = Lookup::new(Call::CreateOrUpdate(self.matches), &self.lookup, predicate)?;
        create_or_update(db, &lookup, self.defaults, self.on_insert).await
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> RunMatching<S> for GetOrCreate<M> {
    async fn run_matching<P>(self, db: &mut S, predicate: Option<&P>) -> Result<(Tracked<M>, bool)>
    where
        P: QueryFragment<S::Backend> + Sync,
    {
        db.cache().admit::<M>()?;
        let lookup = Lookup::new(Call::GetOrCreate, &self.lookup, predicate)?;
        get_or_create(db, &lookup, self.defaults).await
    }
}
