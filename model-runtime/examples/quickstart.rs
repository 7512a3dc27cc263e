//! The first five minutes: track, update, upsert, look up from the cache, roll back.
//!
//! `cargo run -p model-runtime --example quickstart`
#![allow(missing_docs, reason = "an example")]
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    projects (id) { id -> Integer, organization_id -> Integer, slug -> Text, name -> Text,
        events -> Integer, data -> Text, date_added -> Timestamp, date_updated -> Timestamp }
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

const TABLE: &str = "CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT, organization_id INTEGER NOT NULL, slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL, events INTEGER NOT NULL DEFAULT 0, data TEXT NOT NULL DEFAULT '',
    date_added TIMESTAMP NOT NULL, date_updated TIMESTAMP NOT NULL, UNIQUE (organization_id, name))";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::memory();
    let mut conn = SqliteConnection::establish(":memory:")?;
    diesel::sql_query(TABLE).execute(&mut conn)?;
    let mut db = Session::new(&mut conn, &cache);

    let mut p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db)?;
    println!("created   {}", p.repr());

    p.name = "Pump station".into();
    println!("changed   name, was {:?}", p.old_value(projects::name));
    p.save(&mut db)?; // UPDATE of `name` and `date_updated` alone

    p.update().events(F(projects::events) + 1).execute(&mut db)?;
    println!("counted   events = {}, as the database computed it", p.events);

    let refused = p.update().events(9_223_372_036_854_775_807_i64).execute(&mut db);
    println!("refused   {}", refused.err().map_or_else(String::new, |error| error.to_string()));

    for _ in 0..3 {
        Project::get_from_cache(&mut db, projects::slug, "pump")?;
        Project::get_from_cache(&mut db, (projects::organization_id, projects::name), (1, "Pump station"))?;
    }
    println!("looked up {} hits, {} misses", cache.stats().hits, cache.stats().misses);

    let upserted = Project::create_or_update()
        .slug("pump")
        .defaults(|d| d.organization_id(1).name("Pump station").events(F(projects::events) + 1))
        .execute(&mut db)?;
    println!("upserted  {upserted:?}");

    let rolled_back: Result<(), Error> = db.transaction(|db| {
        p.update().name("ghost").execute(db)?;
        Err(diesel::result::Error::RollbackTransaction.into())
    });
    let stored = Project::get_from_cache(&mut db, projects::id, p.id)?;
    println!("rolled back ({}): {} events, still {:?}", rolled_back.is_err(), stored.events, stored.name);

    println!("deleted   {}", p.delete(&mut db)?);
    println!("gone      {}", Project::get_from_cache(&mut db, projects::slug, "pump").optional()?.is_none());
    Ok(())
}
