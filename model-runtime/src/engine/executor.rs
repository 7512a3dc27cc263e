//! What the algorithms need from a session.
use crate::cache::Cache;
use crate::cache::protocol::Command;
use crate::error::Result;
use crate::field::KeyCols;
use crate::model::ModelSql;
use crate::session::Transaction;
use crate::statement::{Dialect, Statement};
use crate::store::{Answer, StoreError};
use event_listener::EventListener;
use std::time::{Instant, SystemTime};

/// Who decides when the statements that run now are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each statement commits by itself.
    Autocommit,
    /// A transaction of this session: invalidation follows its commit.
    Session,
    /// A transaction opened on the connection outside this session, whose end it never learns.
    Foreign,
}

/// A session as the algorithms see it: it runs statements and store commands, and knows its transaction.
// The futures are `Send` for both faces, so that an operation can run in a spawned task.
pub trait Executor: Send {
    /// The connection's backend.
    type Backend: Dialect;

    /// Runs a statement and reads its rows.
    fn rows<M: ModelSql<Self::Backend>>(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<Vec<M>>> + Send;

    /// Runs a statement and reads the primary keys that it returns.
    fn keys<M: ModelSql<Self::Backend>>(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<Vec<<M::Pk as KeyCols>::Key>>> + Send;

    /// Runs a statement and reads its first columns, which are texts.
    fn texts(
        &mut self,
        statement: Statement<'_, Self::Backend>,
        columns: usize,
    ) -> impl Future<Output = Result<Vec<Vec<Option<String>>>>> + Send;

    /// Runs a statement and counts the rows it touched.
    fn count(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<usize>> + Send;

    /// Sends one batch to the store.
    fn store(&mut self, batch: &[Command]) -> impl Future<Output = Result<Answer, StoreError>> + Send;

    /// Waits until another reader of this process notifies, or until the time is over; it may be shorter.
    fn pause(&mut self, listener: EventListener, until: Option<Instant>) -> impl Future<Output = ()> + Send;

    /// BEGIN, or SAVEPOINT inside a transaction.
    fn begin(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// COMMIT, or RELEASE SAVEPOINT.
    fn commit(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// ROLLBACK, or ROLLBACK TO SAVEPOINT.
    fn rollback(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// How many transactions and savepoints are open on the connection, by whomever.
    fn depth(&mut self) -> u32;

    /// The session's cache.
    fn cache(&self) -> &Cache;

    /// The session's own transaction.
    fn transaction(&mut self) -> &mut Transaction;

    /// The session's clock.
    fn now(&self) -> SystemTime;

    /// Who decides about the commit.
    fn scope(&mut self) -> Scope {
        let (open, own) = (self.depth(), self.transaction().depth());
        match own {
            0 if open == 0 => Scope::Autocommit,
            0 => Scope::Foreign,
            _ if open > own => Scope::Foreign,
            _ => Scope::Session,
        }
    }
}
