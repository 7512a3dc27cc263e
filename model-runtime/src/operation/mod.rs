//! Operations are values without a backend; a session adds the backend when it runs them.
mod attach;
mod bulk;
mod create;
mod create_many;
mod delete;
mod get;
mod invalidate;
mod matching;
mod refresh;
mod save;
mod save_many;
mod set_sql;
mod sweep;
mod update;
mod upsert;
mod verify;

pub use attach::{Attach, Attached, ForeignKey};
pub use bulk::{DeleteWhere, UpdateWhere};
pub use create::Create;
pub use create_many::CreateMany;
pub use delete::Delete;
pub use get::{Get, GetMany};
pub use invalidate::Invalidate;
pub use matching::{HasAllMatches, HasMatching, Matching, RunMatching};
pub use refresh::Refresh;
pub use save::Save;
pub use save_many::SaveMany;
pub use set_sql::{HasSql, RunWithSql, SetSql, SqlFor};
pub use sweep::SweepOutbox;
pub use update::Update;
pub use upsert::{CreateOrUpdate, Defaults, GetOrCreate, Upsert};
pub use verify::VerifySchema;

use crate::engine::Executor;
use crate::error::Result;
use crate::model::SentryModel;

/// A value that a session of type `S` can run.
// Backend-generic bounds live on the impls, so that building an operation needs none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot run on `{S}`",
    note = "wrap the connection in a session: `let mut db = Session::new(&mut conn, &cache);`",
    note = "and the model's field types must be storable on its backend"
)]
pub trait Operation<S: Executor>: Send + Sized {
    /// What it returns.
    type Output: Send;

    /// Runs it.
    fn run(self, db: &mut S) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// An operation whose fields can be set.
pub trait HasPatch<M: SentryModel> {
    /// Where setters write.
    fn patch(&mut self) -> &mut M::Patch;
}

/// An upsert: `.defaults(|d| …)` says what to write beside the lookup.
pub trait HasDefaults<M: SentryModel> {
    /// Replaces the values to write.
    fn set_defaults(&mut self, defaults: M::Patch);
}

/// An upsert that updates: `.on_insert(|d| …)` says what to write only where a row is inserted.
pub trait HasOnInsert<M: SentryModel> {
    /// Replaces the values of an inserted row.
    fn set_on_insert(&mut self, values: M::Patch);
}
