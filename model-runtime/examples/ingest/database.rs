//! Where the groups are written: a temporary SQLite file, or what `--database-url` names.
use crate::Failure;
use diesel::connection::{InstrumentationEvent, LoadConnection, SimpleConnection};
use diesel::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a writer waits for another one's lock on the file.
const SQLITE_SETTINGS: &str =
    "PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL";

/// A prepared database; [`Target::remove`] takes back what was created on a server.
pub(crate) enum Target {
    Sqlite {
        file: PathBuf,
        /// Removed with the value.
        _folder: Option<tempfile::TempDir>,
    },
    #[cfg(feature = "postgres")]
    Postgres {
        url: String,
        /// A schema of this run's own, so that no table of the user's is touched.
        schema: String,
    },
    #[cfg(feature = "mysql")]
    Mysql {
        url: String,
        /// A database of this run's own.
        database: String,
    },
}

/// What the databases spell differently.
struct Spelling {
    table: &'static str,
    key: &'static str,
    path: &'static str,
}

/// Counts the statements of all connections.
pub(crate) type Statements = Arc<AtomicU64>;

/// A connection type that the example can open.
pub(crate) trait Open: LoadConnection + Sized {
    fn open(target: &Target) -> Result<Self, Failure>;
    fn group_count(&mut self) -> QueryResult<i64>;
}

impl Target {
    pub(crate) fn prepare(url: Option<&str>) -> Result<Self, Failure> {
        let target = Self::named(url)?;
        match &target {
            Self::Sqlite { .. } => {
                let spelling =
                    Spelling { table: "groups", key: "INTEGER PRIMARY KEY AUTOINCREMENT", path: "TEXT" };
                create(SqliteConnection::open(&target)?, &spelling)?;
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { url, schema } => {
                let mut conn = postgres(url)?;
                conn.batch_execute(&format!("CREATE SCHEMA {schema}"))?;
                let spelling = Spelling { table: "groups", key: "SERIAL PRIMARY KEY", path: "TEXT" };
                create(PgConnection::open(&target)?, &spelling)?;
            }
            #[cfg(feature = "mysql")]
            Self::Mysql { url, database } => {
                let options = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
                mysql(url)?.batch_execute(&format!("CREATE DATABASE {database} {options}"))?;
                let spelling = Spelling {
                    table: "`groups`",
                    key: "INTEGER PRIMARY KEY AUTO_INCREMENT",
                    path: "VARCHAR(500)",
                };
                create(MysqlConnection::open(&target)?, &spelling)?;
            }
        }
        Ok(target)
    }

    fn named(url: Option<&str>) -> Result<Self, Failure> {
        match url {
            None => {
                let folder = tempfile::tempdir()?;
                Ok(Self::Sqlite { file: folder.path().join("ingest.sqlite"), _folder: Some(folder) })
            }
            Some(url) if url.starts_with("sqlite:") => {
                let file = PathBuf::from(&url["sqlite:".len()..]);
                match file.exists() {
                    true => Err(format!("{} exists already; name a new file", file.display()).into()),
                    false => Ok(Self::Sqlite { file, _folder: None }),
                }
            }
            Some(url) if url.starts_with("postgres:") || url.starts_with("postgresql:") => {
                Self::postgres(url)
            }
            Some(url) if url.starts_with("mysql:") => Self::mysql(url),
            Some(_) => Err("--database-url: expected `sqlite:FILE`, `postgres://user@host/database` or \
                            `mysql://user@host/database`"
                .into()),
        }
    }

    #[cfg(feature = "postgres")]
    #[allow(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
    fn postgres(url: &str) -> Result<Self, Failure> {
        Ok(Self::Postgres { url: url.to_owned(), schema: format!("ingest_{}", std::process::id()) })
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(_url: &str) -> Result<Self, Failure> {
        Err("this database needs the feature `postgres`: run with `--features postgres`".into())
    }

    #[cfg(feature = "mysql")]
    #[allow(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
    fn mysql(url: &str) -> Result<Self, Failure> {
        Ok(Self::Mysql { url: url.to_owned(), database: format!("ingest_{}", std::process::id()) })
    }

    #[cfg(not(feature = "mysql"))]
    fn mysql(_url: &str) -> Result<Self, Failure> {
        Err("this database needs the feature `mysql`: run with `--features mysql`".into())
    }

    /// Removes what was created on a server.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        match self {
            Self::Sqlite { .. } => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres { url, schema } => {
                Ok(postgres(url)?.batch_execute(&format!("DROP SCHEMA {schema} CASCADE"))?)
            }
            #[cfg(feature = "mysql")]
            Self::Mysql { url, database } => {
                Ok(mysql(url)?.batch_execute(&format!("DROP DATABASE {database}"))?)
            }
        }
    }
}

fn create(mut conn: impl SimpleConnection, spelling: &Spelling) -> Result<(), Failure> {
    let Spelling { table, key, path } = spelling;
    conn.batch_execute(&format!(
        "CREATE TABLE {table} (id {key}, path {path} NOT NULL UNIQUE, times_seen INTEGER NOT NULL,
         lines_added BIGINT NOT NULL, lines_removed BIGINT NOT NULL, first_seen BIGINT NOT NULL,
         last_seen BIGINT NOT NULL, last_event TEXT NOT NULL)"
    ))?;
    Ok(())
}

/// Adds every statement that `conn` runs to `statements`.
pub(crate) fn count_statements(conn: &mut impl Connection, statements: &Statements) {
    let statements = Arc::clone(statements);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if matches!(event, InstrumentationEvent::StartQuery { .. }) {
            statements.fetch_add(1, Ordering::Relaxed);
        }
    });
}

impl Open for SqliteConnection {
    fn open(target: &Target) -> Result<Self, Failure> {
        #[allow(irrefutable_let_patterns, reason = "without other features the only target")]
        let Target::Sqlite { file, .. } = target else { return Err("not a SQLite database".into()) };
        let name = file.display();
        let mut conn = Self::establish(&file.to_string_lossy()).map_err(|error| {
            format!("cannot open {name}: {error}; name a file in a folder you can write to")
        })?;
        conn.batch_execute(SQLITE_SETTINGS)?;
        Ok(conn)
    }

    fn group_count(&mut self) -> QueryResult<i64> {
        crate::model::groups::table.count().get_result(self)
    }
}

#[cfg(feature = "postgres")]
fn postgres(url: &str) -> Result<PgConnection, Failure> {
    let hint = "is the server running, and does the URL name it?";
    PgConnection::establish(url)
        .map_err(|error| format!("cannot connect to PostgreSQL: {error}; {hint}").into())
}

#[cfg(feature = "postgres")]
impl Open for PgConnection {
    fn open(target: &Target) -> Result<Self, Failure> {
        let Target::Postgres { url, schema } = target else { return Err("not a PostgreSQL database".into()) };
        let mut conn = postgres(url)?;
        conn.batch_execute(&format!("SET search_path TO {schema}"))?;
        Ok(conn)
    }

    fn group_count(&mut self) -> QueryResult<i64> {
        crate::model::groups::table.count().get_result(self)
    }
}

#[cfg(feature = "mysql")]
fn mysql(url: &str) -> Result<MysqlConnection, Failure> {
    let hint = "is the server running, and does the URL name it?";
    MysqlConnection::establish(url)
        .map_err(|error| format!("cannot connect to MySQL: {error}; {hint}").into())
}

#[cfg(feature = "mysql")]
impl Open for MysqlConnection {
    fn open(target: &Target) -> Result<Self, Failure> {
        let Target::Mysql { url, database } = target else { return Err("not a MySQL database".into()) };
        let mut conn = mysql(url)?;
        conn.batch_execute(&format!("USE {database}"))?;
        Ok(conn)
    }

    fn group_count(&mut self) -> QueryResult<i64> {
        crate::model::groups::table.count().get_result(self)
    }
}
