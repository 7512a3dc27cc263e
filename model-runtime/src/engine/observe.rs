//! What the database is known to have made of a transaction: checked before each statement and asked after each error.
//!
//! A statement that runs outside the transaction which the caller thinks it is in would be committed by itself. So the
//! database's word decides: after an error that may have ended the transaction, and after plain Diesel had the
//! connection, whose errors the session does not see.
use super::Executor;
use crate::error::{Error, Result};
use crate::statement::{Dialect, EndedBy, OpenTransaction};

/// Something is about to be sent.
///
/// # Errors
/// [`Error::BrokenConnection`] where a call on the connection did not end; [`Error::Deadlock`] or [`Error::Query`] where
/// the database has ended the session's transaction.
pub(super) async fn before<S: Executor + ?Sized>(db: &mut S) -> Result<()> {
    if db.transaction().is_in_flight() || db.open_depth().is_none() {
        return Err(Error::BrokenConnection);
    }
    db.transaction().usable()?;
    if db.transaction().take_unobserved() {
        ask(db, "a statement of plain Diesel failed in it, or ended it").await?;
        db.transaction().usable()?;
    }
    db.transaction().sent();
    Ok(())
}

/// The database has answered.
pub(super) async fn after<S: Executor + ?Sized, T: Send>(db: &mut S, result: Result<T>) -> Result<T> {
    db.transaction().answered();
    let Err(error) = &result else { return result };
    let foreign = db.transaction().depth() == 0 && db.open_depth().is_some_and(|open| open > 0);
    if (db.transaction().depth() == 0 && !foreign) || !error.is_from_server() {
        return result;
    }
    if !foreign && S::Backend::FAILURE_ENDS_TRANSACTION {
        db.transaction().failed(&error.to_string());
    }
    let may_have_ended = match S::Backend::ENDED_BY {
        EndedBy::Nothing => false,
        EndedBy::OtherThanConstraints => !error.is_of_a_constraint(),
        EndedBy::AnyError => true,
    };
    if may_have_ended {
        let (reason, is_deadlock) = (error.to_string(), matches!(error, Error::Deadlock(_)));
        // Where it does not answer, nothing more can be committed either.
        match is_open(db).await.unwrap_or(false) {
            true => {}
            // The code that opened it still counts it as open: nothing more may be sent.
            false if foreign => db.break_connection(),
            false => db.transaction().was_ended(&reason, is_deadlock),
        }
    }
    result
}

/// Asks before a commit where plain Diesel had the connection since the database was last asked.
pub(super) async fn before_commit<S: Executor>(db: &mut S) -> Result<()> {
    match db.transaction().take_unobserved() {
        true => {
            ask(db, "a statement of plain Diesel in it failed, or ended it, and its error was not returned")
                .await
        }
        false => Ok(()),
    }
}

async fn ask<S: Executor + ?Sized>(db: &mut S, reason: &str) -> Result<()> {
    if is_open(db).await? {
        return Ok(());
    }
    // What a savepoint can still mend is not told from what has ended: the outermost rollback will tell.
    match S::Backend::FAILURE_ENDS_TRANSACTION && db.transaction().depth() > 1 {
        true => db.transaction().failed(reason),
        false => db.transaction().was_ended(reason, false),
    }
    Ok(())
}

/// Whether the database has a transaction open that can still be committed.
///
/// # Errors
/// What the database says where it cannot be asked.
async fn is_open<S: Executor + ?Sized>(db: &mut S) -> Result<bool> {
    if db.open_depth() == Some(0) {
        return Ok(false);
    }
    let (sql, accepts) = match S::Backend::IS_OPEN {
        OpenTransaction::Accepts(sql) => (sql, true),
        OpenTransaction::Refuses(sql) => (sql, false),
    };
    db.transaction().sent();
    let answer = db.send_sql(sql).await;
    db.transaction().answered();
    match answer {
        Ok(()) => Ok(accepts),
        Err(error) if error.is_from_server() && !error.is_of_the_connection() => Ok(!accepts),
        Err(error) => Err(error),
    }
}
