//! When hooks run: before the statement, and after the commit that makes it last.
use super::executor::{Executor, Scope};
use crate::error::{Error, Result};
use crate::hooks::{HookError, HookSpec, Pending, Saved, Write};
use crate::model::SentryModel;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Lets the model look at what is about to be written.
pub(crate) fn before<M: SentryModel>(patch: &mut M::Patch, write: Write) -> Result<()> {
    let Some(spec) = M::hooks() else { return Ok(()) };
    let done = (spec.before_write)(&mut Pending::new(patch, write));
    done.map_err(|source| Error::Refused { model: M::NAME, source })
}

/// A row was written with the fields of `mask`.
pub(super) fn saved<M: SentryModel, S: Executor>(db: &mut S, row: &M, write: Write, mask: u64) {
    after(db, row, move |spec, row| (spec.after_commit)(&Saved::new(row, write, mask)));
}

/// A row was deleted.
pub(super) fn deleted<M: SentryModel, S: Executor>(db: &mut S, row: &M) {
    after(db, row, |spec, row| (spec.after_delete)(row));
}

/// Runs a hook now where the write is committed, else with the commit.
fn after<M, S>(
    db: &mut S,
    row: &M,
    hook: impl Fn(&'static HookSpec<M>, &M) -> Result<(), HookError> + Send + 'static,
) where
    M: SentryModel,
    S: Executor,
{
    let Some(spec) = M::hooks() else { return };
    match db.scope() {
        Scope::Autocommit => guarded(M::NAME, || hook(spec, row)),
        Scope::Session => {
            let row = row.snapshot();
            db.transaction().after_commit(Box::new(move || guarded(M::NAME, || hook(spec, &row))));
        }
        Scope::Foreign => tracing::warn!(
            model = M::NAME,
            "hooks after a commit do not run in a transaction that the session did not open; use `db.transaction`"
        ),
    }
}

/// The write is committed, so that nothing which a hook does may look like its failure.
fn guarded(model: &'static str, hook: impl FnOnce() -> Result<(), HookError>) {
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(model, %error, "a hook failed after the commit"),
        Err(panic) => tracing::error!(model, panic = text_of(&*panic), "a hook panicked after the commit"),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
