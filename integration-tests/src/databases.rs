//! A schema of its own for each test, on a real database.
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// Statements that make a schema. What the databases spell differently is in braces: `{pk}`, `{timestamp}`,
/// `{double}`, `{binary}`.
#[derive(Debug, Clone, Copy)]
pub struct Schema(pub &'static [&'static str]);

impl Schema {
    fn sql(self, words: [(&str, &str); 4]) -> String {
        let spell = |statement: &str| {
            words.iter().fold(statement.to_owned(), |sql, (word, is)| sql.replace(word, is))
        };
        self.0.iter().map(|statement| spell(statement) + ";\n").collect()
    }
}

/// `name` from the environment that `integration-tests/run` makes.
///
/// # Panics
/// With the remedy, where it is not set.
#[must_use]
pub fn server(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with `integration-tests/run`, which starts the servers")
    })
}

/// A SQLite database in a temporary file.
#[derive(Debug)]
pub struct Sqlite(TempDir);

/// A database of the given tables.
#[must_use]
pub fn sqlite(schema: Schema) -> Sqlite {
    let place = Sqlite(TempDir::new().unwrap());
    let words = [
        ("{pk}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
        ("{timestamp}", "TIMESTAMP"),
        ("{double}", "DOUBLE"),
        ("{binary}", "BLOB"),
    ];
    place.connect().batch_execute(&schema.sql(words)).unwrap();
    place
}

impl Sqlite {
    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> SqliteConnection {
        let path = self.0.path().join("test.db");
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        conn.batch_execute(
            "PRAGMA busy_timeout = 60000; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF",
        )
        .unwrap();
        conn
    }
}

/// A schema on the PostgreSQL server of the test run; dropped with this value.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    name: String,
}

/// A schema of the given tables.
#[must_use]
pub fn postgres(schema: Schema) -> Postgres {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{count}", std::process::id());
    let place = Postgres { url: server("TEST_DATABASE_URL_POSTGRES"), name };
    let words = [
        ("{pk}", "SERIAL PRIMARY KEY"),
        ("{timestamp}", "TIMESTAMP"),
        ("{double}", "DOUBLE PRECISION"),
        ("{binary}", "BYTEA"),
    ];
    let create = format!("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0};", place.name);
    let mut conn = place.connect();
    conn.batch_execute(&create).unwrap();
    conn.batch_execute(&schema.sql(words)).unwrap();
    place
}

impl Postgres {
    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> PgConnection {
        let (url, setup) = self.url_and_setup();
        let mut conn = PgConnection::establish(&url).unwrap();
        conn.batch_execute(&setup).unwrap();
        conn
    }

    /// For connections of another kind: the server, and what each connection must run first.
    #[must_use]
    pub fn url_and_setup(&self) -> (String, String) {
        let setup = format!("SET client_min_messages TO warning; SET search_path TO {}", self.name);
        (self.url.clone(), setup)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A test that failed in the middle of a transaction may hold locks on it: then it is left behind, and
        // goes with the server.
        let drop = format!("SET lock_timeout TO '2s'; DROP SCHEMA {} CASCADE", self.name);
        let _ = self.connect().batch_execute(&drop);
    }
}
