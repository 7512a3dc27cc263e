//! The session on a diesel-async connection: the same engine, awaited.
use super::sync::open_depth;
use super::{CacheOutcome, Face, Runner, Transaction};
use crate::cache::Cache;
use crate::cache::protocol::Command;
use crate::clock::Clock;
use crate::engine::{self, Executor, Guard};
use crate::error::{Error, Result};
use crate::field::KeyCols;
use crate::model::ModelSql;
use crate::operation::{Operation, SweepOutbox};
use crate::statement::{Dialect, Statement};
use crate::store::{Answer, StoreError};
use diesel::deserialize;
use diesel_async::{AsyncConnection, TransactionManager};
use event_listener::EventListener;
use futures_util::TryStreamExt;
use futures_util::future::select;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::time::{Instant, SystemTime};

type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Runs operations on a diesel-async connection: the calls of [`Session`](crate::Session), each followed by
/// `.await`.
///
/// # Example: the same call, awaited
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
/// # fn main() {}
/// use diesel_async::AsyncConnection;
/// use model_runtime::{Dialect, ModelSql};
///
/// // Works on every backend; with a fixed connection type it needs no bounds.
/// async fn count<C>(conn: &mut C, cache: &Cache) -> Result<bool, Error>
/// where
///     C: AsyncConnection<Backend: Dialect>,
///     Project: ModelSql<C::Backend>,
/// {
///     let mut db = AsyncSession::new(conn, cache);
///     let mut project = Project::get_from_cache(&mut db, projects::slug, "pump").await?;
///     project.update().events(F(projects::events) + 1).execute(&mut db).await
/// }
/// ```
pub struct AsyncSession<'a, C> {
    conn: &'a mut C,
    cache: &'a Cache,
    clock: Clock,
    transaction: Transaction,
}

impl<C> std::fmt::Debug for AsyncSession<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncSession").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

impl<'a, C: AsyncConnection> AsyncSession<'a, C>
where
    C::Backend: Dialect,
{
    /// A session on `conn`; rows of cached models come from `cache`.
    pub fn new(conn: &'a mut C, cache: &'a Cache) -> Self {
        Self { conn, cache, clock: Clock::default(), transaction: Transaction::default() }
    }

    /// The same session with another clock for `#[auto_now]`.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What the cache learned of the last write of cached rows: the second result of each, beside the database's.
    #[must_use]
    pub fn cache_outcome(&self) -> CacheOutcome {
        self.transaction.outcome()
    }

    /// The connection, for plain Diesel.
    ///
    /// What plain Diesel writes is not known to the cache: tell it with
    /// [`invalidate`](crate::SentryModel::invalidate), else rows it changes may be stale until their time to live ends.
    pub fn connection(&mut self) -> &mut C {
        self.transaction.lent();
        self.conn
    }

    /// Tells the cache of the keys in the outbox, as [`Session::sweep_outbox`](crate::Session::sweep_outbox) does.
    ///
    /// # Errors
    /// As there.
    pub fn sweep_outbox(&mut self) -> BoxFuture<'_, Result<usize>> {
        self.drive(SweepOutbox)
    }

    /// Runs `work` in a transaction, as [`Session::transaction`](crate::Session::transaction) does.
    ///
    /// The future is `Send` and can be spawned. Dropping it before it ended marks the connection as broken: later calls on
    /// it are refused with [`Error::BrokenConnection`], pools of diesel-async discard it, and the database rolls the
    /// transaction back when it is closed.
    ///
    /// # Errors
    /// What `work` returns; Diesel's error where BEGIN or COMMIT fails.
    // Boxed, and the closure's future is `Send` by bound: with an `async fn` rustc rejects `tokio::spawn`,
    // because of the lifetime inside `Self`.
    pub fn transaction<'d, 'f, T, E, F>(&'d mut self, work: F) -> BoxFuture<'d, Result<T, E>>
    where
        F: for<'r, 's> AsyncCallback<&'r mut AsyncSession<'s, C>, Result<T, E>, Fut: Send> + Send + 'f,
        T: Send + 'f,
        E: From<Error> + Send + 'f,
        'f: 'd,
    {
        Box::pin(async move {
            let mut guard = Guard::new(self);
            engine::begin(guard.db()).await?;
            let done = {
                let work = pin!(work(guard.db()));
                engine::caught(work).await
            };
            engine::conclude(guard.db(), done).await
        })
    }
}

/// An async closure whose future can be bounded, as diesel-async has it.
pub trait AsyncCallback<A, R>: AsyncFnOnce(A) -> R + FnOnce(A) -> <Self as AsyncCallback<A, R>>::Fut {
    /// The closure's future.
    type Fut: Future<Output = R>;
}

impl<F, A, Fut, R> AsyncCallback<A, R> for F
where
    F: AsyncFnOnce(A) -> R + FnOnce(A) -> Fut,
    Fut: Future<Output = R>,
{
    type Fut = Fut;
}

impl<C: AsyncConnection> Executor for AsyncSession<'_, C>
where
    C::Backend: Dialect,
{
    type Backend = C::Backend;

    async fn send_rows<M: ModelSql<C::Backend>>(
        &mut self,
        statement: Statement<'_, C::Backend>,
    ) -> Result<Vec<M>> {
        load(self.conn, statement, |row| M::read(row)).await
    }

    async fn send_keys<M: ModelSql<C::Backend>>(
        &mut self,
        statement: Statement<'_, C::Backend>,
    ) -> Result<Vec<<M::Pk as KeyCols>::Key>> {
        load(self.conn, statement, |row| M::read_key(row)).await
    }

    async fn send_texts(
        &mut self,
        statement: Statement<'_, C::Backend>,
        columns: usize,
    ) -> Result<Vec<Vec<Option<String>>>> {
        let read = |row: &C::Row<'_, '_>| (0..columns).map(|at| C::Backend::read_text(row, at)).collect();
        load(self.conn, statement, read).await
    }

    async fn send_count(&mut self, statement: Statement<'_, C::Backend>) -> Result<usize> {
        Ok(self.conn.execute_returning_count(statement).await?)
    }

    async fn send_sql(&mut self, sql: &str) -> Result<()> {
        Ok(self.conn.batch_execute(sql).await?)
    }

    async fn send_begin(&mut self) -> Result<()> {
        Ok(C::TransactionManager::begin_transaction(self.conn).await?)
    }

    async fn send_commit(&mut self) -> Result<()> {
        Ok(C::TransactionManager::commit_transaction(self.conn).await?)
    }

    async fn send_rollback(&mut self) -> Result<()> {
        Ok(C::TransactionManager::rollback_transaction(self.conn).await?)
    }

    async fn store(&mut self, batch: &[Command]) -> Result<Answer, StoreError> {
        self.cache.call_async(batch).await
    }

    // Not bounded by time, which only a runtime has: a leader that is dropped hands over.
    async fn pause(&mut self, listener: EventListener, until: Option<Instant>) {
        let Some(until) = until else { return listener.await };
        let mut alarm = self.cache.alarm(until);
        select(listener, &mut alarm.listener).await;
    }

    fn open_depth(&mut self) -> Option<u32> {
        // A wrapper around a blocking connection panics here while a dropped call runs on it, and after a panic in one.
        let status = || open_depth(C::TransactionManager::transaction_manager_status_mut(self.conn));
        catch_unwind(AssertUnwindSafe(status)).unwrap_or_default()
    }

    fn break_connection(&mut self) {
        // A wrapper around a blocking connection panics here while a call that was dropped still runs on it, which the
        // wrapper itself waits for where the runtime lets it.
        let status = || C::TransactionManager::transaction_manager_status_mut(self.conn).set_in_error();
        if catch_unwind(AssertUnwindSafe(status)).is_err() {
            tracing::error!("a connection could not be marked as broken; do not use it any more");
        }
    }

    fn cache(&self) -> &Cache {
        self.cache
    }

    fn transaction(&mut self) -> &mut Transaction {
        &mut self.transaction
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

async fn load<C, T>(
    conn: &mut C,
    statement: Statement<'_, C::Backend>,
    read: impl for<'r, 'q> Fn(&C::Row<'r, 'q>) -> deserialize::Result<T> + Send,
) -> Result<Vec<T>>
where
    C: AsyncConnection,
    C::Backend: Dialect,
    T: Send,
{
    let rows = conn.load(statement).await?;
    rows.and_then(|row| ready(read(&row).map_err(diesel::result::Error::DeserializationError)))
        .try_collect()
        .await
        .map_err(Error::from)
}

impl<C> Face for AsyncSession<'_, C> {
    type Out<'d, T>
        = BoxFuture<'d, Result<T>>
    where
        T: Send + 'd;
}

impl<C: AsyncConnection> Runner for AsyncSession<'_, C>
where
    C::Backend: Dialect,
{
    fn drive<'d, O: Operation<Self> + 'd>(&'d mut self, operation: O) -> Self::Out<'d, O::Output>
    where
        O::Output: 'd,
    {
        Box::pin(engine::guarded(self, operation))
    }
}
