//! The session on a sync Diesel connection.
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
use diesel::connection::{LoadConnection, TransactionManager, TransactionManagerStatus};
use diesel::deserialize;
use event_listener::{EventListener, Listener};
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};

/// Runs operations on a Diesel connection and keeps the cache coherent with what they commit.
///
/// Made per unit of work from any connection, pooled ones too; it costs nothing to make.
///
/// # Example: a session on SQLite with the in-process store
/// ```
/// use diesel::prelude::*;
/// use model_runtime::prelude::*;
///
/// let cache = Cache::memory();
/// let mut conn = SqliteConnection::establish(":memory:")?;
/// let db = Session::new(&mut conn, &cache);
/// # drop(db);
/// # Ok::<_, ConnectionError>(())
/// ```
#[derive(Debug)]
pub struct Session<'a, C> {
    conn: &'a mut C,
    cache: &'a Cache,
    clock: Clock,
    transaction: Transaction,
}

impl<'a, C: LoadConnection> Session<'a, C> {
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
}

impl<C: LoadConnection> Session<'_, C>
where
    C::Backend: Dialect,
{
    /// Tells the cache of the keys that transactions stored in the outbox, and returns how many. Any process may do so,
    /// as often as it likes, and several at once; each takes what no other is at.
    ///
    /// For each 256 keys: BEGIN, SELECT … SKIP LOCKED, one round trip to the store, DELETE, COMMIT.
    ///
    /// # Errors
    /// [`Error::Cache`] where the store does not answer: the keys stay where they are. What the database says
    /// otherwise; [`Error::Query`] inside a transaction.
    pub fn sweep_outbox(&mut self) -> Result<usize> {
        self.drive(SweepOutbox)
    }

    /// Runs `work` in a transaction, or in a savepoint inside one: commits on `Ok`, rolls back on `Err` and
    /// on panic.
    ///
    /// The closure gets this very session, so that operations read the same inside and outside. Inside,
    /// lookups are answered by the database; the cache learns of all touched rows at the outermost commit,
    /// in two round trips.
    ///
    /// # Errors
    /// What `work` returns; Diesel's error where BEGIN or COMMIT fails.
    ///
    /// # Example: an own error type needs `From<model_runtime::Error>` only
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest.rs"));
    /// use model_runtime::prelude::*;
    ///
    /// # fn main() -> Result<(), Error> { session(|db| {
    /// # let mut project = Project::create().organization_id(1).slug("pump").name("Pump").execute(db)?;
    /// db.transaction(|db| {
    ///     project.update().name("Pump station").execute(db)?;
    ///     Ok::<_, Error>(())
    /// })?;
    /// # Ok(()) }) }
    /// ```
    pub fn transaction<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut guard = Guard::new(self);
        poll_ready(pin!(engine::begin(guard.db())))?;
        let done = catch_unwind(AssertUnwindSafe(|| work(guard.db())));
        poll_ready(pin!(engine::conclude(guard.db(), done)))
    }
}

/// The result of a future that never suspends.
#[inline]
fn poll_ready<T>(future: Pin<&mut impl Future<Output = T>>) -> T {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("nothing that a sync session awaits suspends"),
    }
}

impl<C: LoadConnection> Executor for Session<'_, C>
where
    C::Backend: Dialect,
{
    type Backend = C::Backend;

    fn send_rows<M: ModelSql<C::Backend>>(
        &mut self,
        statement: Statement<'_, C::Backend>,
    ) -> impl Future<Output = Result<Vec<M>>> + Send {
        ready(self.load(statement, |row| M::read(row)))
    }

    fn send_keys<M: ModelSql<C::Backend>>(
        &mut self,
        statement: Statement<'_, C::Backend>,
    ) -> impl Future<Output = Result<Vec<<M::Pk as KeyCols>::Key>>> + Send {
        ready(self.load(statement, |row| M::read_key(row)))
    }

    fn send_texts(
        &mut self,
        statement: Statement<'_, C::Backend>,
        columns: usize,
    ) -> impl Future<Output = Result<Vec<Vec<Option<String>>>>> + Send {
        ready(self.load(statement, |row| (0..columns).map(|at| C::Backend::read_text(row, at)).collect()))
    }

    fn send_count(
        &mut self,
        statement: Statement<'_, C::Backend>,
    ) -> impl Future<Output = Result<usize>> + Send {
        ready(self.conn.execute_returning_count(&statement).map_err(Error::from))
    }

    fn send_sql(&mut self, sql: &str) -> impl Future<Output = Result<()>> + Send {
        ready(self.conn.batch_execute(sql).map_err(Error::from))
    }

    fn send_begin(&mut self) -> impl Future<Output = Result<()>> + Send {
        ready(C::TransactionManager::begin_transaction(self.conn).map_err(Error::from))
    }

    fn send_commit(&mut self) -> impl Future<Output = Result<()>> + Send {
        ready(C::TransactionManager::commit_transaction(self.conn).map_err(Error::from))
    }

    fn send_rollback(&mut self) -> impl Future<Output = Result<()>> + Send {
        ready(C::TransactionManager::rollback_transaction(self.conn).map_err(Error::from))
    }

    fn store(&mut self, batch: &[Command]) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        ready(self.cache.call(batch))
    }

    fn pause(&mut self, listener: EventListener, until: Option<Instant>) -> impl Future<Output = ()> + Send {
        match until {
            Some(until) => drop(listener.wait_deadline(until)),
            None => listener.wait(),
        }
        ready(())
    }

    fn open_depth(&mut self) -> Option<u32> {
        open_depth(C::TransactionManager::transaction_manager_status_mut(self.conn))
    }

    fn break_connection(&mut self) {
        C::TransactionManager::transaction_manager_status_mut(self.conn).set_in_error();
    }

    fn roll_back_at_once(&mut self, depth: u32) {
        // A second panic while the first one unwinds would end the process.
        let roll_back = || poll_ready(pin!(engine::roll_back_to(self, depth)));
        if catch_unwind(AssertUnwindSafe(roll_back)).is_err() {
            tracing::warn!("a transaction could not be rolled back: the connection panicked");
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

/// How many transactions are open; `None` for a broken connection.
pub(super) fn open_depth(status: &TransactionManagerStatus) -> Option<u32> {
    status.transaction_depth().ok().map(|depth| depth.map_or(0, std::num::NonZero::get))
}

impl<C: LoadConnection> Session<'_, C>
where
    C::Backend: Dialect,
{
    fn load<T>(
        &mut self,
        statement: Statement<'_, C::Backend>,
        read: impl for<'r, 'q> Fn(&C::Row<'r, 'q>) -> deserialize::Result<T>,
    ) -> Result<Vec<T>> {
        let rows = self.conn.load(statement)?;
        rows.map(|row| Ok(read(&row?).map_err(diesel::result::Error::DeserializationError)?)).collect()
    }
}

impl<C> Face for Session<'_, C> {
    type Out<'d, T>
        = Result<T>
    where
        T: Send + 'd;
}

impl<C: LoadConnection> Runner for Session<'_, C>
where
    C::Backend: Dialect,
{
    fn drive<'d, O: Operation<Self> + 'd>(&'d mut self, operation: O) -> Result<O::Output>
    where
        O::Output: 'd,
    {
        // Nothing catches a panic here: the guard closes what was left open however the call ends.
        let mut guard = Guard::new(self);
        poll_ready(pin!(operation.run(guard.db())))
    }
}
