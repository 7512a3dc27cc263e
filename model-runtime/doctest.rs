// The model of the documentation's examples, and a session on a database that has its table.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    projects (id) {
        id -> Integer,
        organization_id -> Integer,
        slug -> Text,
        name -> Text,
        events -> Integer,
        data -> Text,
        date_added -> Timestamp,
        date_updated -> Timestamp,
    }
}

#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = projects)]
#[cache_fields(slug, (organization_id, name), ttl = "5m")]
#[sane_repr(slug)]
pub struct Project {
    #[bounded(auto)]
    pub id: i32,
    pub organization_id: i32,
    pub slug: String,
    pub name: String,
    #[bounded(positive)]
    pub events: i32,
    pub data: GzippedDict,
    #[auto_now_add]
    pub date_added: chrono::NaiveDateTime,
    #[auto_now]
    pub date_updated: chrono::NaiveDateTime,
}

/// A row that is not stored.
#[allow(dead_code)]
fn project() -> Project {
    Project {
        id: 0,
        organization_id: 1,
        slug: "pump".into(),
        name: "Pump".into(),
        events: 7,
        data: GzippedDict::new(),
        date_added: chrono::NaiveDateTime::default(),
        date_updated: chrono::NaiveDateTime::default(),
    }
}

/// Runs `work` on SQLite in memory with the in-process store.
#[allow(dead_code)]
fn session(work: impl FnOnce(&mut Session<'_, SqliteConnection>) -> Result<(), Error>) -> Result<(), Error> {
    let mut conn = SqliteConnection::establish(":memory:").expect("SQLite opens in memory");
    diesel::sql_query(
        "CREATE TABLE projects (
            id INTEGER PRIMARY KEY AUTOINCREMENT, organization_id INTEGER NOT NULL, slug TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL, events INTEGER NOT NULL DEFAULT 0, data TEXT NOT NULL DEFAULT '',
            date_added TIMESTAMP NOT NULL, date_updated TIMESTAMP NOT NULL, UNIQUE (organization_id, name))",
    )
    .execute(&mut conn)?;
    work(&mut Session::new(&mut conn, &Cache::memory()))
}
