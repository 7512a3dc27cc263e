use super::Operation;
use crate::engine::Executor;
use crate::error::{Error, Result};
use crate::model::{ModelSql, SentryModel};
use crate::schema::{self, Expected, SchemaProblem};
use crate::statement::Dialect;
use std::marker::PhantomData;

/// A comparison of a model with its live table; made by [`SentryModel::verify_schema`].
#[derive(Debug)]
pub struct VerifySchema<M>(PhantomData<fn() -> M>);

impl<M: SentryModel> VerifySchema<M> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M: ModelSql<S::Backend>, S: Executor> Operation<S> for VerifySchema<M> {
    type Output = Vec<SchemaProblem>;

    async fn run(self, db: &mut S) -> Result<Vec<SchemaProblem>> {
        let catalog = S::Backend::CATALOG.ok_or_else(|| {
            Error::Query(format!("{}: nobody told how to ask this database about its tables", M::NAME))
        })?;
        let live = schema::table::<M, S>(db, catalog).await?;
        Ok(schema::problems(&Expected::of::<M>(), &live, catalog))
    }
}
