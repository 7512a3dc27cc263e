//! What the algorithms need from a session.
use super::observe;
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
///
/// A session provides what is sent (`send_…`); the algorithms use what is checked around it.
// The futures are `Send` for both faces, so that an operation can run in a spawned task.
pub trait Executor: Send {
    /// The connection's backend.
    type Backend: Dialect;

    /// Sends a statement and reads its rows.
    fn send_rows<M: ModelSql<Self::Backend>>(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<Vec<M>>> + Send;

    /// Sends a statement and reads the primary keys that it returns.
    fn send_keys<M: ModelSql<Self::Backend>>(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<Vec<<M::Pk as KeyCols>::Key>>> + Send;

    /// Sends a statement and reads its first columns, which are texts.
    fn send_texts(
        &mut self,
        statement: Statement<'_, Self::Backend>,
        columns: usize,
    ) -> impl Future<Output = Result<Vec<Vec<Option<String>>>>> + Send;

    /// Sends a statement and counts the rows it touched.
    fn send_count(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<usize>> + Send;

    /// Sends SQL without values.
    fn send_sql(&mut self, sql: &str) -> impl Future<Output = Result<()>> + Send;

    /// BEGIN, or SAVEPOINT inside a transaction.
    fn send_begin(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// COMMIT, or RELEASE SAVEPOINT.
    fn send_commit(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// ROLLBACK, or ROLLBACK TO SAVEPOINT.
    fn send_rollback(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Sends one batch to the store.
    fn store(&mut self, batch: &[Command]) -> impl Future<Output = Result<Answer, StoreError>> + Send;

    /// Waits until another reader of this process notifies, or until the time is over; it may be shorter.
    fn pause(&mut self, listener: EventListener, until: Option<Instant>) -> impl Future<Output = ()> + Send;

    /// How many transactions and savepoints are open on the connection, those of others included; `None` where the connection
    /// is broken.
    fn open_depth(&mut self) -> Option<u32>;

    /// Marks the connection as broken: Diesel begins no transaction on it any more, and pools discard it.
    fn break_connection(&mut self);

    /// Rolls back to this depth, where that needs no waiting.
    fn roll_back_at_once(&mut self, _depth: u32) {}

    /// The session's cache.
    fn cache(&self) -> &Cache;

    /// The session's own transaction.
    fn transaction(&mut self) -> &mut Transaction;

    /// The session's clock.
    fn now(&self) -> SystemTime;

    /// Runs a statement and reads its rows.
    fn rows<M: ModelSql<Self::Backend>>(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<Vec<M>>> + Send {
        async move {
            observe::before(self).await?;
            let result = self.send_rows(statement).await;
            observe::after(self, result).await
        }
    }

    /// Runs a statement and reads the primary keys that it returns.
    fn keys<M: ModelSql<Self::Backend>>(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<Vec<<M::Pk as KeyCols>::Key>>> + Send {
        async move {
            observe::before(self).await?;
            let result = self.send_keys::<M>(statement).await;
            observe::after(self, result).await
        }
    }

    /// Runs a statement and reads its first columns, which are texts.
    fn texts(
        &mut self,
        statement: Statement<'_, Self::Backend>,
        columns: usize,
    ) -> impl Future<Output = Result<Vec<Vec<Option<String>>>>> + Send {
        async move {
            observe::before(self).await?;
            let result = self.send_texts(statement, columns).await;
            observe::after(self, result).await
        }
    }

    /// Runs a statement and counts the rows it touched.
    fn count(
        &mut self,
        statement: Statement<'_, Self::Backend>,
    ) -> impl Future<Output = Result<usize>> + Send {
        async move {
            observe::before(self).await?;
            let result = self.send_count(statement).await;
            observe::after(self, result).await
        }
    }

    /// Runs SQL without values; nothing where there is none.
    fn sql(&mut self, sql: &'static str) -> impl Future<Output = Result<()>> + Send {
        async move {
            if sql.is_empty() {
                return Ok(());
            }
            observe::before(self).await?;
            let result = self.send_sql(sql).await;
            observe::after(self, result).await
        }
    }

    /// Who decides about the commit. A broken connection counts as a transaction of others: nothing may be cached from it.
    fn scope(&mut self) -> Scope {
        let (own, outer) = (self.transaction().depth(), self.transaction().outer());
        match self.open_depth() {
            Some(0) if own == 0 => Scope::Autocommit,
            Some(_) if own > 0 && outer == 0 => Scope::Session,
            _ => Scope::Foreign,
        }
    }
}
