//! What the model layer costs beside the same work written by hand.
//!
//! `integration-tests/run --durable -- cargo bench -p integration-tests [-- NAME]`
//!
//! Each pair runs in turns, batch by batch, so that whatever else the machine does falls on both; what is
//! printed is the median ratio, with the quartiles around it.
#![allow(missing_docs, reason = "a benchmark")]
mod measure;

use diesel::prelude::*;
use integration_tests::models::{Organization, Project, SCHEMA, organizations, projects};
use integration_tests::{databases, stores};
use measure::{Ratio, ratio};
use model_runtime::prelude::*;
use model_runtime::store::RedisStore;
use redis::{Commands, IntoConnectionInfo};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// What is measured, its bar in the design, and how.
type Bench = (&'static str, Option<f64>, fn() -> Ratio);

const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    // The bars are the design's; it has none for cached updates on SQLite, where the statement is all there is.
    let benches: [Bench; 21] = [
        ("pk hit / GET + decode", Some(1.10), pk_hit),
        ("unique hit / GET + decode", Some(1.35), unique_hit),
        ("near hit / a clone of the row", None, near_hit),
        ("100 hits at once / MGET + decode", Some(1.15), many_hits),
        ("Tracked load, SQLite / plain load", Some(1.03), tracked_load_sqlite),
        ("Tracked load, PostgreSQL / plain load", Some(1.03), tracked_load_postgres),
        ("uncached update, SQLite / diesel::update", Some(1.00), update_sqlite),
        ("uncached update, PostgreSQL / diesel::update", Some(1.00), update_postgres),
        ("uncached update, MariaDB / diesel::update", Some(1.00), update_mysql),
        ("cached update, SQLite / update + DEL", None, cached_update_sqlite),
        ("cached update, PostgreSQL / update + DEL", Some(1.35), cached_update_postgres),
        ("cached update, MariaDB / update + DEL", Some(1.35), cached_update_mysql),
        ("upsert, SQLite / ON CONFLICT", Some(1.10), upsert_sqlite),
        ("upsert, PostgreSQL / ON CONFLICT", Some(1.10), upsert_postgres),
        ("upsert, MariaDB / ON DUPLICATE KEY", Some(1.10), upsert_mysql),
        ("update of 10,000 rows, SQLite / bare statement", Some(1.50), bulk_sqlite),
        ("update of 10,000 rows, PostgreSQL / bare statement", Some(1.50), bulk_postgres),
        ("update of 10,000 rows, MariaDB / bare statement", Some(1.50), bulk_mysql),
        ("10,000 rows by hand and DEL, SQLite / bare", None, by_hand_sqlite),
        ("10,000 rows by hand and DEL, PostgreSQL / bare", None, by_hand_postgres),
        ("10,000 rows by hand and DEL, MariaDB / bare", None, by_hand_mysql),
    ];
    println!("{:<52}{:>8}{:>8}{:>18}", "ours / by hand", "ratio", "bar", "quartiles");
    for (name, bar, bench) in benches.into_iter().filter(|(name, ..)| name.contains(&wanted)) {
        let Ratio { median, low, high } = bench();
        let bar = bar.map_or_else(|| "-".to_owned(), |bar| format!("{bar:.2}x"));
        println!("{name:<52}{median:>7.2}x{bar:>8}{:>18}", format!("{low:.2}x..{high:.2}x"));
    }
}

/// A row as hand-written code would cache it.
#[derive(Debug, Serialize, Deserialize)]
struct Plain {
    id: i32,
    organization_id: i32,
    slug: String,
    name: String,
    events: i32,
    data: GzippedDict,
    date_added: chrono::NaiveDateTime,
    date_updated: chrono::NaiveDateTime,
}

impl Plain {
    fn of(p: &Project) -> Self {
        Self {
            id: p.id,
            organization_id: p.organization_id,
            slug: p.slug.clone(),
            name: p.name.clone(),
            events: p.events,
            data: p.data.clone(),
            date_added: p.date_added,
            date_updated: p.date_updated,
        }
    }
}

fn connect(url: &str) -> redis::Connection {
    let info = url.into_connection_info().unwrap();
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    redis::Client::open(info.set_tcp_settings(tcp)).unwrap().get_connection().unwrap()
}

fn cache_at(url: &str) -> Cache {
    Cache::builder()
        .store(Arc::new(RedisStore::new(url, PATIENCE, PATIENCE, Duration::ZERO).unwrap()))
        .build()
        .unwrap()
}

fn create<C>(db: &mut Session<'_, C>) -> Tracked<Project>
where
    C: diesel::connection::LoadConnection,
    C::Backend: model_runtime::Dialect,
    Project: model_runtime::ModelSql<C::Backend>,
{
    let data = [("user".to_owned(), "jane".into()), ("retries".to_owned(), 3.into())]
        .into_iter()
        .collect::<GzippedDict>();
    Project::create().organization_id(1).slug("pump").name("Pump station").data(data).execute(db).unwrap()
}

/// Hits by ours against GET + decode of the same row.
fn hit(mut ours: impl FnMut(&mut Session<'_, SqliteConnection>, i32)) -> Ratio {
    let (place, url) = (databases::sqlite(SCHEMA), stores::redis_url());
    let (cache, mut conn, mut redis) = (cache_at(&url), place.connect(), connect(&url));
    let mut db = Session::new(&mut conn, &cache);
    let p = create(&mut db).into_inner();
    let plain = Plain::of(&p);
    let key = format!("plain:{}", p.id);
    redis.set::<_, _, ()>(&key, rmp_serde::to_vec(&plain).unwrap()).unwrap();
    ours(&mut db, p.id);
    ours(&mut db, p.id);
    let by_hand = || {
        let bytes: Vec<u8> = redis.get(&key).unwrap();
        black_box(rmp_serde::from_slice::<Plain>(&bytes).unwrap());
    };
    let ratio = ratio(|| ours(&mut db, p.id), by_hand);
    let stats = cache.stats();
    assert!(stats.hits > 100 && stats.misses <= 2, "only hits are measured: {stats:?}");
    ratio
}

fn pk_hit() -> Ratio {
    hit(|db, id| {
        black_box(Project::get_from_cache(db, projects::id, id).unwrap());
    })
}

fn unique_hit() -> Ratio {
    hit(|db, _| {
        black_box(Project::get_from_cache(db, projects::slug, "pump").unwrap());
    })
}

integration_tests::project_cached_as! {
    /// Copies of it never grow old here.
    Close: slug, ttl = "2h", near = "1h"
}

/// What a copy costs beside the copying itself.
fn near_hit() -> Ratio {
    let (place, cache) = (databases::sqlite(SCHEMA), Cache::memory());
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let p = create(&mut db).into_inner();
    for _ in 0..3 {
        Close::get_from_cache(&mut db, projects::id, p.id).unwrap();
    }
    let ratio = ratio(
        || {
            black_box(Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
        },
        || {
            black_box(p.clone());
        },
    );
    let stats = cache.stats();
    assert!(stats.near_hits > 100 && stats.hits <= 2, "only copies are measured: {stats:?}");
    ratio
}

macro_rules! tracked_load {
    ($name:ident, $database:ident) => {
        fn $name() -> Ratio {
            let place = databases::$database(SCHEMA);
            let (mut one, mut other) = (place.connect(), place.connect());
            {
                let cache = Cache::memory();
                let mut db = Session::new(&mut one, &cache);
                db.transaction(|db| {
                    for n in 0..500 {
                        let (slug, name) = (format!("pump-{n}"), format!("Pump {n}"));
                        Project::create().organization_id(n).slug(slug).name(name).execute(db)?;
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
            }
            ratio(
                || {
                    let query = projects::table.select(Tracked::<Project>::as_select());
                    black_box(query.load(&mut one).unwrap());
                },
                || {
                    black_box(projects::table.select(Project::as_select()).load(&mut other).unwrap());
                },
            )
        }
    };
}
tracked_load!(tracked_load_sqlite, sqlite);
tracked_load!(tracked_load_postgres, postgres);

macro_rules! update {
    ($name:ident, $database:ident) => {
        fn $name() -> Ratio {
            let (place, cache) = (databases::$database(SCHEMA), Cache::memory());
            let (mut one, mut other) = (place.connect(), place.connect());
            let mut db = Session::new(&mut one, &cache);
            let mut ours = Organization::create().name("A").execute(&mut db).unwrap();
            let by_hand = Organization::create().name("B").execute(&mut db).unwrap().id;
            ratio(
                || assert!(ours.update().name("Water").execute(&mut db).unwrap()),
                || {
                    let update = diesel::update(organizations::table.find(by_hand));
                    let rows = update.set(organizations::name.eq("Water")).execute(&mut other).unwrap();
                    assert_eq!(rows, 1);
                },
            )
        }
    };
}
update!(update_sqlite, sqlite);
update!(update_postgres, postgres);
update!(update_mysql, mysql);

macro_rules! cached_update {
    ($name:ident, $database:ident) => {
        fn $name() -> Ratio {
            let (place, url) = (databases::$database(SCHEMA), stores::redis_url());
            let (cache, mut redis) = (cache_at(&url), connect(&url));
            let (mut one, mut other) = (place.connect(), place.connect());
            let mut db = Session::new(&mut one, &cache);
            let mut ours = create(&mut db);
            let by_hand =
                Project::create().organization_id(2).slug("b").name("B").execute(&mut db).unwrap().id;
            ratio(
                || assert!(ours.update().name("Water").execute(&mut db).unwrap()),
                || {
                    let now = chrono::Utc::now().naive_utc();
                    let changes = (projects::name.eq("Water"), projects::date_updated.eq(now));
                    let update = diesel::update(projects::table.find(by_hand));
                    assert_eq!(update.set(changes).execute(&mut other).unwrap(), 1);
                    redis.del::<_, ()>("plain:1").unwrap();
                },
            )
        }
    };
}
cached_update!(cached_update_sqlite, sqlite);
cached_update!(cached_update_postgres, postgres);
cached_update!(cached_update_mysql, mysql);

/// An upsert that finds its row, as nearly all do, of a model that is not cached.
macro_rules! upsert {
    ($name:ident, $database:ident, $target:expr) => {
        fn $name() -> Ratio {
            let (place, cache) = (databases::$database(SCHEMA), Cache::memory());
            let (mut one, mut other) = (place.connect(), place.connect());
            let mut db = Session::new(&mut one, &cache);
            let ours = Organization::create().name("A").execute(&mut db).unwrap().id;
            let by_hand = Organization::create().name("B").execute(&mut db).unwrap().id;
            ratio(
                || {
                    let upsert = Organization::create_or_update().id(ours).defaults(|d| d.name("Water"));
                    assert_eq!(upsert.execute(&mut db).unwrap(), CreateOrUpdate::Updated(1));
                },
                || {
                    let row = (organizations::id.eq(by_hand), organizations::name.eq("Water"));
                    let insert = diesel::insert_into(organizations::table).values(row).on_conflict($target);
                    let rows = insert.do_update().set(organizations::name.eq("Water")).execute(&mut other);
                    assert!(rows.unwrap() > 0);
                },
            )
        }
    };
}
upsert!(upsert_sqlite, sqlite, organizations::id);
upsert!(upsert_postgres, postgres, organizations::id);
upsert!(upsert_mysql, mysql, diesel::dsl::DuplicatedKeys);

/// 100 hits by primary key against one MGET and the decoding of 100 rows.
fn many_hits() -> Ratio {
    let (place, url) = (databases::sqlite(SCHEMA), stores::redis_url());
    let (cache, mut conn, mut redis) = (cache_at(&url), place.connect(), connect(&url));
    let mut db = Session::new(&mut conn, &cache);
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for n in 0..100 {
        let (slug, name) = (format!("pump-{n}"), format!("Pump {n}"));
        let p = Project::create().organization_id(n).slug(slug).name(name).execute(&mut db).unwrap();
        let key = format!("plain:{}", p.id);
        redis.set::<_, _, ()>(&key, rmp_serde::to_vec(&Plain::of(&p)).unwrap()).unwrap();
        ids.push(p.id);
        keys.push(key);
    }
    Project::get_many_from_cache(&mut db, projects::id, ids.iter().copied()).unwrap();
    ratio(
        || {
            black_box(Project::get_many_from_cache(&mut db, projects::id, ids.iter().copied()).unwrap());
        },
        || {
            let rows: Vec<Vec<u8>> = redis.mget(&keys).unwrap();
            let rows: Result<Vec<Plain>, _> = rows.iter().map(|row| rmp_serde::from_slice(row)).collect();
            black_box(rows.unwrap());
        },
    )
}

/// Ten thousand rows, and a statement that changes them all.
macro_rules! many_rows {
    ($db:ident, $statement:ident) => {
        $db.transaction(|db| {
            for n in 0..10_000 {
                let (slug, name) = (format!("p{n}"), format!("P{n}"));
                Project::create().organization_id(1).slug(slug).name(name).execute(db)?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
        let $statement = || {
            let changes = (projects::events.eq(3), projects::date_updated.eq(chrono::Utc::now().naive_utc()));
            diesel::update(projects::table.filter(projects::organization_id.eq(1))).set(changes)
        };
    };
}

macro_rules! bulk {
    ($name:ident, $by_hand:ident, $database:ident, $ids:ident) => {
        fn $name() -> Ratio {
            let (place, cache) = (databases::$database(SCHEMA), cache_at(&stores::redis_url()));
            let (mut one, mut other) = (place.connect(), place.connect());
            let mut db = Session::new(&mut one, &cache);
            many_rows!(db, statement);
            let all = || Project::update_where(projects::organization_id.eq(1)).events(3);
            ratio(
                || assert_eq!(all().execute(&mut db).unwrap(), 10_000),
                || assert_eq!(statement().execute(&mut other).unwrap(), 10_000),
            )
        }

        /// What hand-written code does that deletes the entries of exactly these rows: without intents, so that a reader
        /// may store the old row again.
        fn $by_hand() -> Ratio {
            let (place, cache, url) = (databases::$database(SCHEMA), Cache::memory(), stores::redis_url());
            let (mut one, mut other, mut redis) = (place.connect(), place.connect(), connect(&url));
            let mut db = Session::new(&mut one, &cache);
            many_rows!(db, statement);
            ratio(
                || {
                    let ids: Vec<i32> = $ids!(one, statement);
                    for chunk in ids.chunks(256) {
                        let keys: Vec<_> = chunk.iter().map(|id| format!("plain:{id}")).collect();
                        redis.del::<_, ()>(keys).unwrap();
                    }
                    assert_eq!(ids.len(), 10_000);
                },
                || assert_eq!(statement().execute(&mut other).unwrap(), 10_000),
            )
        }
    };
}
macro_rules! returned {
    ($conn:ident, $statement:ident) => {
        $statement().returning(projects::id).get_results(&mut $conn).unwrap()
    };
}
macro_rules! locked {
    ($conn:ident, $statement:ident) => {
        $conn
            .transaction(|conn| {
                let rows = projects::table.filter(projects::organization_id.eq(1)).select(projects::id);
                let ids = rows.for_update().load(conn)?;
                $statement().execute(conn)?;
                QueryResult::Ok(ids)
            })
            .unwrap()
    };
}
bulk!(bulk_sqlite, by_hand_sqlite, sqlite, returned);
bulk!(bulk_postgres, by_hand_postgres, postgres, returned);
bulk!(bulk_mysql, by_hand_mysql, mysql, locked);
