//! A schema of its own for each test, on a real database.
use diesel::connection::SimpleConnection;
use diesel::{Connection, MysqlConnection, PgConnection, SqliteConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// Statements that make a schema. What the databases spell differently is in braces: `{pk}`, `{timestamp}`,
/// `{double}`, `{binary}`, `{key}` for a text in a unique key,
/// `{quote}` around a name.
#[derive(Debug, Clone, Copy)]
pub struct Schema(pub &'static [&'static str]);

impl Schema {
    fn sql(self, words: [(&str, &str); 6]) -> String {
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

/// What a test must know about its database.
pub trait Place {
    /// Whether INSERT and UPDATE return rows; else they are read again, which costs statements.
    const RETURNING: bool;

    /// Whether a SELECT locks the rows that it reads; else a write locks the database.
    const LOCKS_ROWS: bool = true;

    /// What holds with locks of rows, or without.
    fn locking<T>(&self, with: T, without: T) -> T {
        if Self::LOCKS_ROWS { with } else { without }
    }

    /// What holds with RETURNING, or without.
    fn returning<T>(&self, with: T, without: T) -> T {
        if Self::RETURNING { with } else { without }
    }
}

impl Place for Sqlite {
    const RETURNING: bool = true;
    const LOCKS_ROWS: bool = false;
}

impl Place for Postgres {
    const RETURNING: bool = true;
}

impl Place for Mysql {
    const RETURNING: bool = false;
}

/// A SQLite database in a temporary file.
#[derive(Debug)]
pub struct Sqlite(TempDir);

/// A database of the given tables.
#[must_use]
pub fn sqlite(schema: Schema) -> Sqlite {
    let place = Sqlite(TempDir::new().unwrap());
    place.connect().batch_execute(&schema.sql(SQLITE_WORDS)).unwrap();
    place
}

/// A SQLite database of one connection alone.
#[must_use]
pub fn sqlite_in_memory(schema: Schema) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    conn.batch_execute(&schema.sql(SQLITE_WORDS)).unwrap();
    conn
}

const SQLITE_WORDS: [(&str, &str); 6] = [
    ("{pk}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
    ("{timestamp}", "TIMESTAMP"),
    ("{double}", "DOUBLE"),
    ("{binary}", "BLOB"),
    ("{key}", "TEXT"),
    ("{quote}", "\""),
];

impl Sqlite {
    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> SqliteConnection {
        let (path, setup) = self.url_and_setup();
        let mut conn = SqliteConnection::establish(&path).unwrap();
        conn.batch_execute(&setup).unwrap();
        conn
    }

    /// For another process: the file, and what each connection must run first.
    #[must_use]
    pub fn url_and_setup(&self) -> (String, String) {
        let path = self.0.path().join("test.db");
        let synchronous = if std::env::var_os("TEST_DURABLE").is_some() { "FULL" } else { "OFF" };
        let setup = format!(
            "PRAGMA busy_timeout = 60000; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}"
        );
        (path.to_str().unwrap().to_owned(), setup)
    }
}

/// A name that no other test has.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
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
    let place = Postgres { url: server("TEST_DATABASE_URL_POSTGRES"), name: unique_name() };
    let words = [
        ("{pk}", "SERIAL PRIMARY KEY"),
        ("{timestamp}", "TIMESTAMP"),
        ("{double}", "DOUBLE PRECISION"),
        ("{binary}", "BYTEA"),
        ("{key}", "TEXT"),
        ("{quote}", "\""),
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

    /// For connections of another kind or process: the server, and what each connection must run first.
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

/// A database on the MySQL or MariaDB server of the test run; dropped with this value.
#[derive(Debug)]
pub struct Mysql {
    url: String,
    name: String,
}

/// A database of the given tables.
#[must_use]
pub fn mysql(schema: Schema) -> Mysql {
    let place = Mysql { url: server("TEST_DATABASE_URL_MYSQL"), name: unique_name() };
    let words = [
        ("{pk}", "INTEGER PRIMARY KEY AUTO_INCREMENT"),
        ("{timestamp}", "DATETIME(6)"),
        ("{double}", "DOUBLE"),
        ("{binary}", "BLOB"),
        ("{key}", "VARCHAR(190)"),
        ("{quote}", "`"),
    ];
    // Texts are compared as everywhere else, byte by byte.
    let create = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    let create = format!("DROP DATABASE IF EXISTS {0}; CREATE DATABASE {0} {create};", place.name);
    MysqlConnection::establish(&place.url).unwrap().batch_execute(&create).unwrap();
    place.connect().batch_execute(&schema.sql(words)).unwrap();
    place
}

impl Mysql {
    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> MysqlConnection {
        let (url, setup) = self.url_and_setup();
        let mut conn = MysqlConnection::establish(&url).unwrap();
        conn.batch_execute(&setup).unwrap();
        conn
    }

    /// For another process: the server, and what each connection must run first.
    #[must_use]
    pub fn url_and_setup(&self) -> (String, String) {
        (self.url.clone(), format!("USE {}", self.name))
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        let drop = format!("SET lock_wait_timeout = 2; DROP DATABASE {}", self.name);
        let _ = self.connect().batch_execute(&drop);
    }
}
