//! The tables: rows that carry how often they were written, rows whose keys change, and a ledger of every write that
//! the database has, kept by its own triggers.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use super::link::Database;
use super::trial::{Callback, panic_as_planned, panic_if_armed};
use crate::databases::Schema;
use diesel::prelude::*;
use model_runtime::prelude::*;
use model_runtime::{HookError, Hooks, Pending, Saved, Write};

diesel::table! {
    histories (id) {
        id -> Integer,
        slug -> Text,
        v -> Integer,
        room -> Integer,
        mark -> BigInt,
    }
}

diesel::table! {
    parts (code) {
        code -> Text,
        slug -> Text,
        v -> BigInt,
    }
}

diesel::table! {
    picks (id) {
        id -> Integer,
        history -> Integer,
        slug -> Text,
    }
}

diesel::table! {
    ledger (seq) {
        seq -> Integer,
        kind -> Integer,
        was_code -> Nullable<Text>,
        was_slug -> Nullable<Text>,
        code -> Nullable<Text>,
        slug -> Nullable<Text>,
        v -> BigInt,
        mark -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(histories, picks);
diesel::allow_tables_to_appear_in_same_query!(parts, picks);

/// A row whose every write is `v := v + 1`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = histories)]
#[cache_fields(slug, ttl = "5m")]
#[sentry(hooks)]
pub struct History {
    /// The primary key.
    #[bounded(auto)]
    pub id: i32,
    /// A unique field, which never changes.
    pub slug: String,
    /// How often it was written.
    #[bounded(positive)]
    pub v: i32,
    /// Some rows have none of it, so that a statement that takes some is refused for them.
    #[bounded(positive)]
    pub room: i32,
    /// Which write was the last.
    pub mark: i64,
}

impl Hooks for History {
    fn before_write(pending: &mut Pending<'_, Self>) -> Result<(), HookError> {
        if pending.write() == Write::Insert
            && pending.value(histories::slug).is_some_and(|slug| slug == GHOST)
        {
            panic_as_planned();
        }
        panic_if_armed(Callback::BeforeWrite);
        Ok(())
    }

    fn after_commit(_: &Saved<'_, Self>) -> Result<(), HookError> {
        panic_if_armed(Callback::AfterCommit);
        Ok(())
    }
}

/// A row whose keys change. Its primary key has two spellings, which the database takes for one.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = parts, primary_key(code))]
#[cache_fields(slug, ttl = "5m")]
pub struct Part {
    /// The primary key.
    pub code: String,
    /// A unique field, which rows exchange.
    pub slug: String,
    /// The mark of the last write.
    pub v: i64,
}

/// The slug of a row that is never inserted: a hook panics.
pub const GHOST: &str = "ghost";

/// The slug of the row at a place of the list.
#[must_use]
pub fn slug(row: u8) -> String {
    format!("row-{row}")
}

/// The code of a part; of its two spellings the one that is stored first.
#[must_use]
pub fn code(part: u8) -> String {
    format!("part-{part}")
}

/// A slug that parts exchange.
#[must_use]
pub fn slot(number: u8) -> String {
    format!("slot-{number}")
}

const HISTORIES: &str = "CREATE TABLE histories (id {pk}, slug {key} NOT NULL UNIQUE, v INTEGER NOT NULL, \
     room INTEGER NOT NULL, mark BIGINT NOT NULL)";
const PICKS: &str =
    "CREATE TABLE picks (id INTEGER PRIMARY KEY, history INTEGER NOT NULL, slug {key} NOT NULL)";
const PICKED: &str = "INSERT INTO picks VALUES (0, 1, 'slot-0'), (1, 2, 'slot-1')";
const LEDGER: &str = "CREATE TABLE ledger (seq {pk}, kind INTEGER NOT NULL, was_code {key}, was_slug {key}, \
     code {key}, slug {key}, v BIGINT NOT NULL, mark BIGINT NOT NULL)";

/// The trigger of a table for an event, with what it inserts into the ledger.
macro_rules! triggers { ($($begin:literal, $end:literal;)?) => { [$(
    concat!("CREATE TRIGGER on_history AFTER UPDATE ON histories FOR EACH ROW ", $begin,
        "INSERT INTO ledger (kind, slug, v, mark) VALUES (0, NEW.slug, NEW.v, NEW.mark)", $end),
    concat!("CREATE TRIGGER on_insert AFTER INSERT ON parts FOR EACH ROW ", $begin,
        "INSERT INTO ledger (kind, code, slug, v, mark) VALUES (1, NEW.code, NEW.slug, NEW.v, NEW.v)", $end),
    concat!("CREATE TRIGGER on_update AFTER UPDATE ON parts FOR EACH ROW ", $begin,
        "INSERT INTO ledger (kind, was_code, was_slug, code, slug, v, mark) ",
        "VALUES (2, OLD.code, OLD.slug, NEW.code, NEW.slug, NEW.v, NEW.v)", $end),
    concat!("CREATE TRIGGER on_delete AFTER DELETE ON parts FOR EACH ROW ", $begin,
        "INSERT INTO ledger (kind, was_code, was_slug, v, mark) VALUES (3, OLD.code, OLD.slug, OLD.v, OLD.v)", $end),
)?] } }

const ON_SQLITE: [&str; 4] = triggers! { "BEGIN ", "; END"; };
const ON_MYSQL: [&str; 4] = triggers! { "", ""; };

/// A statement on `taken` fails always; on SQLite that rolls the whole transaction back.
const SQLITE: Schema = Schema(&[
    HISTORIES,
    "CREATE TABLE parts (code TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, slug TEXT NOT NULL UNIQUE, v BIGINT NOT NULL)",
    PICKS,
    PICKED,
    LEDGER,
    "CREATE TABLE taken (id INTEGER NOT NULL UNIQUE ON CONFLICT ROLLBACK)",
    "INSERT INTO taken VALUES (1)",
    ON_SQLITE[0],
    ON_SQLITE[1],
    ON_SQLITE[2],
    ON_SQLITE[3],
]);

const MYSQL: Schema = Schema(&[
    HISTORIES,
    "CREATE TABLE parts (code VARCHAR(40) COLLATE utf8mb4_general_ci PRIMARY KEY, slug {key} NOT NULL UNIQUE, \
     v BIGINT NOT NULL)",
    PICKS,
    PICKED,
    LEDGER,
    "CREATE TABLE taken (id INTEGER NOT NULL UNIQUE)",
    "INSERT INTO taken VALUES (1)",
    ON_MYSQL[0],
    ON_MYSQL[1],
    ON_MYSQL[2],
    ON_MYSQL[3],
]);

const POSTGRES: Schema = Schema(&[
    HISTORIES,
    "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    "CREATE TABLE parts (code TEXT COLLATE any_case PRIMARY KEY, slug TEXT NOT NULL UNIQUE, v BIGINT NOT NULL)",
    PICKS,
    PICKED,
    LEDGER,
    "CREATE TABLE taken (id INTEGER NOT NULL UNIQUE)",
    "INSERT INTO taken VALUES (1)",
    "CREATE FUNCTION log_history() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     INSERT INTO ledger (kind, slug, v, mark) VALUES (0, NEW.slug, NEW.v, NEW.mark); RETURN NULL; END $$",
    "CREATE FUNCTION log_part() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF TG_OP = 'INSERT' THEN \
     INSERT INTO ledger (kind, code, slug, v, mark) VALUES (1, NEW.code, NEW.slug, NEW.v, NEW.v); \
     ELSIF TG_OP = 'UPDATE' THEN \
     INSERT INTO ledger (kind, was_code, was_slug, code, slug, v, mark) \
     VALUES (2, OLD.code, OLD.slug, NEW.code, NEW.slug, NEW.v, NEW.v); \
     ELSE \
     INSERT INTO ledger (kind, was_code, was_slug, v, mark) VALUES (3, OLD.code, OLD.slug, OLD.v, OLD.v); \
     END IF; RETURN NULL; END $$",
    "CREATE TRIGGER on_history AFTER UPDATE ON histories FOR EACH ROW EXECUTE FUNCTION log_history()",
    "CREATE TRIGGER on_part AFTER INSERT OR UPDATE OR DELETE ON parts FOR EACH ROW EXECUTE FUNCTION log_part()",
]);

/// The tables as a database has them.
#[must_use]
pub fn schema(database: Database) -> Schema {
    match database {
        Database::Sqlite => SQLITE,
        Database::Postgres => POSTGRES,
        Database::Mysql => MYSQL,
    }
}
