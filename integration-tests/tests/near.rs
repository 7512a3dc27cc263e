//! Promise: with `near = "…"` a row that was read is served from this process, without a round trip, until it is as old
//! as allowed; a write of this process ends its copy at once, one of another process as soon as Redis tells of it.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{SCHEMA, projects};
use integration_tests::servers::RedisServer;
use integration_tests::{count, databases, on_every_database_and_store, stores};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use model_runtime::store::Store;
use std::sync::Arc;
use std::time::{Duration, Instant};

integration_tests::project_cached_as! {
    /// Copies of it never grow old here.
    Close: slug, (organization_id, name), ttl = "2h", near = "1h"
}

integration_tests::project_cached_as! {
    /// Copies of it do.
    Brief: slug, near = "50ms"
}

/// A watchdog, not a measurement: what takes so long never comes.
const NEVER: Duration = Duration::from_secs(30);

/// Asks until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < NEVER, "{what}: never");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Client tracking knows key names alone, not databases: tests keep apart by their names.
fn cache_on(store: Arc<dyn Store>) -> Cache {
    let namespace = format!("near{}", fastrand::u64(..));
    Cache::builder().store(store).namespace(&namespace).build().unwrap()
}

/// Looks up until the answer comes from a copy.
macro_rules! warm {
    ($cache:expr, $lookup:expr) => {
        until("a copy", || {
            let before = $cache.stats().near_hits;
            let _ = $lookup;
            $cache.stats().near_hits > before
        });
    };
}

on_every_database_and_store! {
    fn a_copy_costs_no_round_trip_and_no_statement(conn, store) {
        let cache = cache_on(store);
        let statements = count::statements(conn);
        let mut db = Session::new(conn, &cache);
        let p = Close::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let other = Close::create().organization_id(1).slug("well").name("Well").execute(&mut db).unwrap();
        warm!(cache, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
        warm!(cache, Close::get_from_cache(&mut db, projects::slug, "pump").unwrap());
        warm!(cache, Close::get_from_cache(&mut db, (projects::organization_id, projects::name), (1, "Pump")).unwrap());
        warm!(cache, Close::get_many_from_cache(&mut db, projects::id, [other.id]).unwrap());
        statements.take();
        let before = cache.stats();
        assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap(), p);
        assert_eq!(Close::get_from_cache(&mut db, projects::slug, "pump").unwrap(), p);
        let both = Close::get_many_from_cache(&mut db, projects::id, [other.id, p.id, other.id]).unwrap();
        assert_eq!(both.iter().flatten().map(|row| row.id).collect::<Vec<_>>(), [other.id, p.id, other.id]);
        let after = cache.stats();
        assert_eq!(after.near_hits - before.near_hits, 4, "a row that is asked for twice is looked up once");
        assert_eq!((after.round_trips, after.hits), (before.round_trips, before.hits));
        assert_eq!(statements.take(), [] as [String; 0]);
        let third = Close::create().organization_id(1).slug("mill").name("Mill").execute(&mut db).unwrap();
        let before = cache.stats();
        let found = Close::get_many_from_cache(&mut db, projects::id, [third.id, p.id]).unwrap();
        assert_eq!(found.iter().flatten().map(|row| row.id).collect::<Vec<_>>(), [third.id, p.id]);
        assert_eq!((cache.stats().near_hits - before.near_hits, cache.stats().misses - before.misses), (1, 1));
    }

    fn own_writes_are_seen_at_once(conn, place, store) {
        let cache = cache_on(store);
        let mut db = Session::new(conn, &cache);
        let mut other = place.connect();
        let mut p = Close::create().organization_id(1).slug("pump").name("v").execute(&mut db).unwrap();
        for way in ["update", "save", "update_where", "transaction", "upsert", "invalidate", "clear", "another thread"] {
            warm!(cache, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
            warm!(cache, Close::get_from_cache(&mut db, projects::slug, "pump").unwrap());
            warm!(cache, Close::get_many_from_cache(&mut db, projects::slug, ["pump"]).unwrap());
            let rename = || diesel::update(projects::table.find(p.id)).set(projects::name.eq(way));
            match way {
                "update" => assert!(p.update().name(way).execute(&mut db).unwrap()),
                "save" => {
                    p.name = way.into();
                    p.save(&mut db).unwrap();
                }
                "update_where" => {
                    let rows = Close::update_where(projects::id.eq(p.id)).name(way).execute(&mut db).unwrap();
                    assert_eq!(rows, 1);
                }
                "transaction" => db
                    .transaction(|db| {
                        p.update().name("inside").execute(db)?;
                        assert_eq!(Close::get_from_cache(db, projects::id, p.id)?.name, "inside");
                        let many = Close::get_many_from_cache(db, projects::slug, ["pump"])?;
                        assert_eq!(many[0].as_ref().map(|row| row.name.as_str()), Some("inside"));
                        p.update().name(way).execute(db).map(drop)
                    })
                    .unwrap(),
                "upsert" => {
                    Close::create_or_update().slug("pump").defaults(|d| d.name(way)).execute(&mut db).unwrap();
                }
                "another thread" => {
                    let mut db = Session::new(&mut other, &cache);
                    assert!(p.update().name(way).execute(&mut db).unwrap());
                }
                _ => {
                    rename().execute(db.connection()).unwrap();
                    match way {
                        "clear" => drop(cache.clear::<Close>().unwrap()),
                        _ => Close::invalidate(&mut db, projects::id, [p.id]).unwrap(),
                    }
                }
            }
            assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, way);
            assert_eq!(Close::get_from_cache(&mut db, projects::slug, "pump").unwrap().name, way);
            let many = Close::get_many_from_cache(&mut db, projects::slug, ["pump"]).unwrap();
            assert_eq!(many[0].as_ref().unwrap().name, way);
        }
        warm!(cache, Close::get_from_cache(&mut db, projects::slug, "pump").unwrap());
        p.update().slug("well").execute(&mut db).unwrap();
        assert!(Close::get_from_cache(&mut db, projects::slug, "pump").optional().unwrap().is_none());
        warm!(cache, Close::get_from_cache(&mut db, projects::slug, "well").unwrap());
        p.delete(&mut db).unwrap();
        assert!(Close::get_from_cache(&mut db, projects::slug, "well").optional().unwrap().is_none());
    }

    fn a_row_that_is_written_while_it_is_read_is_not_kept(conn, place, store) {
        for (organization, column) in (1..).zip(["id", "slug", "many"]) {
            let hooked = Interleaved::new(store.clone());
            let cache = cache_on(hooked.clone());
            let mut db = Session::new(conn, &cache);
            let p = Close::create().organization_id(organization).slug(column).name("old").execute(&mut db).unwrap();
            let mut look = |fresh: bool| match (column, fresh) {
                ("id", false) => Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name.clone(),
                ("id", true) => Close::get_fresh_from_cache(&mut db, projects::id, p.id).unwrap().name.clone(),
                ("slug", false) => Close::get_from_cache(&mut db, projects::slug, "slug").unwrap().name.clone(),
                ("slug", true) => Close::get_fresh_from_cache(&mut db, projects::slug, "slug").unwrap().name.clone(),
                _ => {
                    let found = Close::get_many_from_cache(&mut db, projects::slug, ["many"]).unwrap();
                    found[0].as_ref().unwrap().name.clone()
                }
            };
            warm!(cache, look(false));
            if column == "many" {
                // There is no fresh lookup of many: the copy is ended by a write.
                let mut other = place.connect();
                Close::invalidate(&mut Session::new(&mut other, &cache), projects::id, [p.id]).unwrap();
                // Fills; what is kept near is kept on a hit.
                look(false);
            }
            let (writer, mut other, mut row) = (cache.clone(), place.connect(), Tracked::clone(&p));
            hooked.after(
                |command| matches!(command, Command::Get { .. } | Command::Deref { .. }),
                move || {
                    let mut db = Session::new(&mut other, &writer);
                    assert!(row.update().name("new").execute(&mut db).unwrap());
                },
            );
            assert_eq!(look(true), "old", "{column}: it was asked before the write");
            assert_eq!(hooked.pending(), 0);
            assert_eq!(look(false), "new", "{column}");
        }
    }
}

/// While the store is out of reach nothing is sent to it, and a write ends its copy all the same.
#[test]
fn own_writes_end_copies_that_the_store_is_not_asked_about() {
    let (place, hooked) = (databases::sqlite(SCHEMA), Interleaved::new(stores::memory()));
    let (cache, mut conn) = (cache_on(hooked.clone()), place.connect());
    let mut db = Session::new(&mut conn, &cache);
    let mut p = Close::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    warm!(cache, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
    hooked.fail(|_| true);
    assert!(Close::get_from_cache(&mut db, projects::id, -1).optional().unwrap().is_none());
    let before = cache.stats().round_trips;
    assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0", "a copy");
    assert!(p.update().name("v1").execute(&mut db).unwrap());
    assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
    assert_eq!(cache.stats().round_trips, before, "nothing was sent");
}

#[test]
fn writes_of_another_process_end_copies() {
    let (place, url) = (databases::sqlite(SCHEMA), stores::redis_url());
    let namespace = format!("near{}", fastrand::u64(..));
    let cache = || Cache::builder().redis(&url).namespace(&namespace).build().unwrap();
    let (here, there) = (cache(), cache());
    let (mut one, mut other) = (place.connect(), place.connect());
    let (mut db, mut writer) = (Session::new(&mut one, &here), Session::new(&mut other, &there));
    let mut p = Close::create().organization_id(1).slug("pump").name("v0").execute(&mut writer).unwrap();
    for round in 1..=5 {
        warm!(here, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
        warm!(here, Close::get_from_cache(&mut db, projects::slug, "pump").unwrap());
        let name = format!("v{round}");
        assert!(p.update().name(&name).execute(&mut writer).unwrap());
        until("the new row by id", || {
            Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name == name
        });
        until("and by slug", || Close::get_from_cache(&mut db, projects::slug, "pump").unwrap().name == name);
        for _ in 0..20 {
            assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, name);
        }
    }
    warm!(here, Close::get_from_cache(&mut db, projects::slug, "pump").unwrap());
    p.delete(&mut writer).unwrap();
    until("that it is gone", || {
        Close::get_from_cache(&mut db, projects::slug, "pump").optional().unwrap().is_none()
    });
}

/// What is written while nobody hears of it must not be missed: `deafen` ends the connection that listens.
fn no_copy_outlives_its_connection(deafen: fn(&RedisServer)) {
    let (place, server) = (databases::sqlite(SCHEMA), RedisServer::start());
    let cache = || {
        let cache = Cache::builder().redis(&server.url()).lazy().intent_lifetime(Duration::from_millis(200));
        cache.build().unwrap()
    };
    let (here, there) = (cache(), cache());
    let (mut one, mut other) = (place.connect(), place.connect());
    let (mut db, mut writer) = (Session::new(&mut one, &here), Session::new(&mut other, &there));
    let mut p = Close::create().organization_id(1).slug("pump").name("v0").execute(&mut writer).unwrap();
    for round in 1..=3 {
        warm!(here, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
        let name = format!("v{round}");
        deafen(&server);
        assert!(p.update().name(&name).execute(&mut writer).unwrap());
        until("the new row", || Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name == name);
        for _ in 0..20 {
            assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, name);
        }
    }
}

fn tell(server: &RedisServer, words: &[&str]) {
    let mut conn = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd(words[0]).arg(&words[1..]).exec(&mut conn).unwrap();
}

#[test]
fn no_copy_outlives_a_connection_that_is_cut() {
    no_copy_outlives_its_connection(|server| tell(server, &["CLIENT", "KILL", "TYPE", "normal"]));
}

/// Copies end where the server falls silent.
fn no_copy_outlives_its_server(silence: fn(&mut RedisServer)) {
    let (place, mut server) = (databases::sqlite(SCHEMA), RedisServer::start());
    let cache =
        Cache::builder().redis(&server.url()).intent_lifetime(Duration::from_millis(200)).build().unwrap();
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let p = Close::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    warm!(cache, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
    silence(&mut server);
    until("no copy", || {
        let before = cache.stats().near_hits;
        assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0");
        cache.stats().near_hits == before
    });
}

#[test]
fn no_copy_outlives_a_server_that_dies() {
    no_copy_outlives_its_server(RedisServer::kill);
}

#[test]
fn no_copy_outlives_a_server_that_hangs() {
    no_copy_outlives_its_server(|server| server.freeze());
}

#[test]
fn no_copy_outlives_a_flush() {
    let (place, server) = (databases::sqlite(SCHEMA), RedisServer::start());
    let cache =
        Cache::builder().redis(&server.url()).intent_lifetime(Duration::from_millis(200)).build().unwrap();
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    let p = Close::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    warm!(cache, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
    let rename = diesel::update(projects::table.find(p.id)).set(projects::name.eq("v1"));
    rename.execute(db.connection()).unwrap();
    tell(&server, &["FLUSHALL"]);
    until("the new row", || Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name == "v1");
}

/// Two caches on one store that tells nothing: of the other's writes each learns by age alone.
fn strangers() -> (Cache, Cache) {
    let store = stores::memory();
    let cache = || Cache::builder().store(store.clone()).build().unwrap();
    (cache(), cache())
}

#[test]
fn a_copy_is_no_older_than_it_may_be() {
    let (place, (here, there)) = (databases::sqlite(SCHEMA), strangers());
    let (mut one, mut other) = (place.connect(), place.connect());
    let (mut db, mut writer) = (Session::new(&mut one, &here), Session::new(&mut other, &there));
    let mut p = Brief::create().organization_id(1).slug("pump").name("v0").execute(&mut writer).unwrap();
    for round in 1..=3 {
        warm!(here, Brief::get_from_cache(&mut db, projects::slug, "pump").unwrap());
        let name = format!("v{round}");
        assert!(p.update().name(&name).execute(&mut writer).unwrap());
        until("the new row", || Brief::get_from_cache(&mut db, projects::slug, "pump").unwrap().name == name);
    }
}

#[test]
fn a_fresh_lookup_passes_the_copy_and_replaces_it() {
    let (place, (here, there)) = (databases::sqlite(SCHEMA), strangers());
    let (mut one, mut other) = (place.connect(), place.connect());
    let (mut db, mut writer) = (Session::new(&mut one, &here), Session::new(&mut other, &there));
    let mut p = Close::create().organization_id(1).slug("pump").name("v0").execute(&mut writer).unwrap();
    warm!(here, Close::get_from_cache(&mut db, projects::id, p.id).unwrap());
    assert!(p.update().name("v1").execute(&mut writer).unwrap());
    assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0", "nobody tells");
    // The first fills, the second leaves a copy.
    for _ in 0..2 {
        assert_eq!(Close::get_fresh_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
    }
    let before = here.stats();
    assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v1");
    assert_eq!(
        (here.stats().near_hits, here.stats().round_trips),
        (before.near_hits + 1, before.round_trips)
    );
    assert!(Close::get_fresh_from_cache(&mut db, projects::id, -1).optional().unwrap().is_none());
}

#[test]
fn settings_without_sense_are_refused() {
    let text = Cache::builder().memory().near_capacity(0).build().unwrap_err().to_string();
    assert!(text.contains("near_capacity"), "{text}");
}
