//! Begin, commit and rollback with the cache's part in them.
use super::Executor;
use super::executor::Scope;
use crate::cache::write;
use crate::error::{Outcome, Result};

/// Opens a transaction, or a savepoint inside one.
pub(crate) async fn begin<S: Executor>(db: &mut S) -> Result<()> {
    db.begin().await?;
    db.transaction().begun();
    Ok(())
}

/// Commits; at the outermost level the intents of all touched keys are placed just before and released
/// just after, awaited before the caller hears of success.
pub(crate) async fn commit<S: Executor>(db: &mut S) -> Result<()> {
    if db.transaction().depth() > 1 || db.scope() == Scope::Foreign {
        let result = db.commit().await;
        db.transaction().ended(result.is_ok());
        return result;
    }
    let touched = db.transaction().take_touched();
    let intents = write::place(db, touched.keys.into_iter().collect()).await;
    let result = db.commit().await;
    db.transaction().ended(result.is_ok());
    write::release(db, intents, touched.unpoint, Outcome::of_commit(&result)).await;
    result
}

/// Rolls back. Nothing was sent to the cache, so there is nothing to take back.
pub(crate) async fn rollback<S: Executor>(db: &mut S) -> Result<()> {
    let result = db.rollback().await;
    db.transaction().ended(false);
    result
}
