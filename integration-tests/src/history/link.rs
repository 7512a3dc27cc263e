//! Connections of the three databases, opened by address, as another process must.
use super::fault::Trial;
use super::ledger::Entry;
use super::model::{ledger, parts};
use clap::ValueEnum;
use diesel::connection::{CacheSize, LoadConnection, SimpleConnection, TransactionManagerStatus};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::{MysqlConnection, PgConnection, SqliteConnection};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};
use model_runtime::Dialect;

type AnyError = Box<dyn std::error::Error>;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Database {
    /// In WAL mode.
    Sqlite,
    /// On the server of the test run.
    Postgres,
    /// MariaDB on the server of the test run.
    Mysql,
}

impl Database {
    /// Each of them.
    pub const ALL: &[Self] = &[Self::Sqlite, Self::Postgres, Self::Mysql];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }

    /// The isolation levels of its connections.
    #[must_use]
    pub fn levels(self) -> &'static [Trial] {
        const ALL: [Trial; 4] =
            [Trial::ReadCommitted, Trial::RepeatableRead, Trial::Serializable, Trial::SnapshotIsolation];
        match self {
            Self::Sqlite => &[Trial::Serializable],
            Self::Postgres => ALL.split_at(3).0,
            Self::Mysql => &ALL,
        }
    }

    /// What a worker's connection runs to be at the level.
    #[must_use]
    pub fn at_level(self, level: Trial) -> Vec<String> {
        let mut out = Vec::new();
        match (self, level) {
            (Self::Sqlite, _) => {}
            (Self::Postgres, level) => {
                out.push(format!("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"));
            }
            (Self::Mysql, Trial::SnapshotIsolation) => {
                out.push("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned());
                out.push("SET SESSION innodb_snapshot_isolation = ON".to_owned());
            }
            (Self::Mysql, level) => {
                out.push(format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"));
            }
        }
        out
    }

    /// Cuts the connection of that number from the server's side.
    fn cut(self, url: &str, id: i64) -> Option<Box<dyn Fn()>> {
        let url = url.to_owned();
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(Box::new(move || {
                run_once::<PgConnection>(&url, &format!("SELECT pg_terminate_backend({id})"));
            })),
            Self::Mysql => Some(Box::new(move || run_once::<MysqlConnection>(&url, &format!("KILL {id}")))),
        }
    }
}

/// Runs the statement on a connection of its own.
fn run_once<C: Connection>(url: &str, statement: &str) {
    if let Ok(mut conn) = C::establish(url) {
        let _ = conn.batch_execute(statement);
    }
}

/// A connection that a worker or the driver opens.
pub trait Link: LoadConnection<Backend: Dialect> + SimpleConnection + Sized + 'static {
    /// Of which database.
    const DATABASE: Database;
    /// Lock waits end well before an intent does, as the documentation asks.
    const PATIENCE: &'static str;

    /// What cuts this connection from the server's side; `None` where there is no server.
    fn cut(&mut self, url: &str) -> Option<Box<dyn Fn()>>;

    /// What the triggers logged, in order.
    ///
    /// # Errors
    /// What the database says.
    fn ledger(&mut self) -> QueryResult<Vec<Entry>>;

    /// Code, slug and value of each part.
    ///
    /// # Errors
    /// What the database says.
    fn parts(&mut self) -> QueryResult<Vec<(String, String, i64)>>;

    /// A connection to the address; `setup` runs first.
    ///
    /// # Errors
    /// Where it cannot be opened.
    fn open(url: &str, setup: &str) -> Result<Self, AnyError> {
        let mut conn = Self::establish(url)?;
        // Where a prepared SELECT fails after its first row, MariaDB's C library waits for ever when it is executed again.
        if Self::DATABASE == Database::Mysql {
            conn.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        conn.batch_execute(setup)?;
        Ok(conn)
    }
}

/// The same, of diesel-async.
pub trait AsyncLink: AsyncConnection<Backend: Dialect> + SimpleAsyncConnection + Sized + 'static {
    /// Of which database.
    const DATABASE: Database;
    /// Lock waits end well before an intent does, as the documentation asks.
    const PATIENCE: &'static str;

    /// What cuts this connection from the server's side; `None` where there is no server.
    fn cut(&mut self, url: &str) -> impl Future<Output = Option<Box<dyn Fn()>>>;

    /// A connection to the address; `setup` runs first.
    #[must_use]
    fn open(url: &str, setup: &str) -> impl Future<Output = Result<Self, AnyError>> {
        async move {
            let mut conn = Self::establish(url).await?;
            for statement in setup.split(';') {
                conn.batch_execute(statement).await?;
            }
            Ok(conn)
        }
    }

    /// Makes the connection believe that it is sound and in no transaction.
    fn believe_in(&mut self) {
        *Self::TransactionManager::transaction_manager_status_mut(self) = TransactionManagerStatus::default();
    }
}

macro_rules! link {
    ($database:ident, $number:literal, $connection:ty: $wait:literal, $asynchronous:ty: $waits:literal) => {
        impl Link for $connection {
            const DATABASE: Database = Database::$database;
            const PATIENCE: &'static str = $wait;

            fn cut(&mut self, url: &str) -> Option<Box<dyn Fn()>> {
                let id = diesel::select(sql::<BigInt>($number)).get_result(self).ok()?;
                Database::$database.cut(url, id)
            }

            fn ledger(&mut self) -> QueryResult<Vec<Entry>> {
                ledger::table.order(ledger::seq).load(self)
            }

            fn parts(&mut self) -> QueryResult<Vec<(String, String, i64)>> {
                parts::table.load(self)
            }
        }

        impl AsyncLink for $asynchronous {
            const DATABASE: Database = Database::$database;
            const PATIENCE: &'static str = $waits;

            async fn cut(&mut self, url: &str) -> Option<Box<dyn Fn()>> {
                let id = diesel::select(sql::<BigInt>($number));
                let id = diesel_async::RunQueryDsl::get_result(id, self).await.ok()?;
                Database::$database.cut(url, id)
            }
        }
    };
}

link!(
    Sqlite, "0",
    SqliteConnection: "PRAGMA busy_timeout = 200",
    SyncConnectionWrapper<SqliteConnection>: "PRAGMA busy_timeout = 200"
);
link!(
    Postgres, "pg_backend_pid()::bigint",
    PgConnection: "SET lock_timeout = '200ms'",
    AsyncPgConnection: "SET lock_timeout = '200ms'"
);
link!(
    Mysql, "CONNECTION_ID()",
    MysqlConnection: "SET max_statement_time = 0.2",
    AsyncMysqlConnection: "SET max_statement_time = 0.2"
);
