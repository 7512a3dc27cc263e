//! Connections of the three databases, opened by address, as another process must.
use clap::ValueEnum;
use diesel::connection::{LoadConnection, SimpleConnection};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};
use diesel::{MysqlConnection, PgConnection, SqliteConnection};
use model_runtime::Dialect;

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
}

/// A connection that a worker opens, and may cut.
pub trait Link: LoadConnection<Backend: Dialect> + SimpleConnection + Sized + 'static {
    /// Lock waits end well before an intent does, as the documentation asks.
    const PATIENCE: &'static str;

    /// What cuts this connection from the server's side; `None` where there is no server.
    fn cut(&mut self, url: &str) -> Option<Box<dyn Fn()>>;

    /// A connection to the address; `setup` runs first.
    ///
    /// # Errors
    /// Where it cannot be opened.
    fn open(url: &str, setup: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let mut conn = Self::establish(url)?;
        conn.batch_execute(setup)?;
        conn.batch_execute(Self::PATIENCE)?;
        Ok(conn)
    }
}

impl Link for SqliteConnection {
    const PATIENCE: &'static str = "PRAGMA busy_timeout = 200";

    fn cut(&mut self, _: &str) -> Option<Box<dyn Fn()>> {
        None
    }
}

impl Link for PgConnection {
    const PATIENCE: &'static str = "SET lock_timeout = '200ms'";

    fn cut(&mut self, url: &str) -> Option<Box<dyn Fn()>> {
        let id: i32 = diesel::select(sql::<Integer>("pg_backend_pid()")).get_result(self).ok()?;
        Some(statement::<Self>(url, format!("SELECT pg_terminate_backend({id})")))
    }
}

impl Link for MysqlConnection {
    const PATIENCE: &'static str = "SET max_statement_time = 0.2";

    fn cut(&mut self, url: &str) -> Option<Box<dyn Fn()>> {
        let id: i64 = diesel::select(sql::<BigInt>("CONNECTION_ID()")).get_result(self).ok()?;
        Some(statement::<Self>(url, format!("KILL {id}")))
    }
}

/// Runs the statement on a connection of its own.
fn statement<C: Link>(url: &str, statement: String) -> Box<dyn Fn()> {
    let url = url.to_owned();
    Box::new(move || {
        if let Ok(mut conn) = C::establish(&url) {
            let _ = conn.batch_execute(&statement);
        }
    })
}
