//! Promise: a cache is turned on and off while processes run, in steps in which nothing stale can be served: write-only
//! tells of writes and reads nothing; who would serve what others do not tell of is refused.
use diesel::prelude::*;
use integration_tests::databases::Place as _;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Organization, projects};
use integration_tests::{count, on_every_database_and_store};
use model_runtime::Phase;
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use model_runtime::store::Store;
use std::sync::Arc;
use std::time::Duration;

integration_tests::project_cached_as! {
    /// The model of the contract.
    Plain: slug, (organization_id, name), ttl = "5m"
}

integration_tests::project_cached_as! {
    /// Absence is cached too.
    Listed: slug, (organization_id, name), ttl = "5m", negative = "1m"
}

integration_tests::project_cached_as! {
    /// Copies of it never grow old here.
    Close: slug, ttl = "2h", near = "1h"
}

integration_tests::project_cached_as! {
    /// As the first deploy of its cache has it.
    Staged: slug, negative = "1m", phase = "write-only", negative_phase = "write-only"
}

integration_tests::project_cached_as! {
    /// As the last one.
    Retired: slug, phase = "off"
}

// Structs of one table that share keys.
fn unsaved() -> Old {
    let now = chrono::NaiveDateTime::default();
    Old {
        id: 0,
        organization_id: 1,
        slug: "pump".into(),
        name: "Pump".into(),
        events: 0,
        data: GzippedDict::default(),
        date_added: now,
        date_updated: now,
    }
}

integration_tests::project_cached_as! {
    /// Absence is cached.
    New: slug, (organization_id, name), negative = "1h", name = "Kept"
}

integration_tests::project_cached_as! {
    /// It is not.
    Old: slug, (organization_id, name), name = "Kept"
}

integration_tests::project_cached_as! {
    /// With fewer lookups.
    Fewer: slug, negative = "1h", name = "Kept"
}

integration_tests::project_cached_as! {
    /// It agrees with the first one.
    Alike: (organization_id, name), slug, negative = "1m", negative_phase = "write-only", name = "Kept"
}

integration_tests::project_cached_as! {
    /// Nothing is told of its writes.
    Silent: slug, name = "Kept", phase = "off"
}

#[derive(Debug, Queryable, Selectable, SentryModel)]
#[diesel(table_name = projects, primary_key(slug))]
#[cache_fields(name = "Kept")]
struct BySlug {
    slug: String,
    events: i32,
}

const NO_ID: i32 = 1_000_000;
const PAIR: (projects::organization_id, projects::name) = (projects::organization_id, projects::name);

fn cache_on(store: &Arc<dyn Store>) -> Cache {
    Cache::builder().store(store.clone()).build().unwrap()
}

/// Runs the call and compares (SQL statements, round trips).
macro_rules! costs {
    ($statements:ident, $cache:expr, $expected:expr, $call:expr) => {{
        $statements.take();
        let before = $cache.stats().round_trips;
        let value = $call;
        let (sent, trips) = ($statements.take(), $cache.stats().round_trips - before);
        assert_eq!((sent.len(), trips), $expected, "{}: {sent:?}", stringify!($call));
        value
    }};
}

/// Looks up until the answer comes from the store.
macro_rules! hit {
    ($cache:expr, $lookup:expr) => {{
        let before = $cache.stats().hits;
        for _ in 0..4 {
            let _ = $lookup;
        }
        assert!($cache.stats().hits > before, "never a hit");
    }};
}

/// Looks up until the cache knows that nothing is there.
macro_rules! absent {
    ($cache:expr, $lookup:expr) => {{
        let before = $cache.stats().negative_hits;
        for _ in 0..3 {
            assert!($lookup.optional().unwrap().is_none());
        }
        assert!($cache.stats().negative_hits > before, "it is not known as absent");
    }};
}

on_every_database_and_store! {
    fn write_only_lookups_are_answered_by_the_database_alone(conn, place, store) {
        let (on, mut reader) = (cache_on(&store), place.connect());
        let cache = Cache::builder().store(store).phase::<Plain>(Phase::WriteOnly).build().unwrap();
        let statements = count::statements(conn);
        let (mut db, mut on_db) = (Session::new(conn, &cache), Session::new(&mut reader, &on));
        let new = |slug: &'static str| Plain::create().organization_id(1).slug(slug).name(slug);
        let p = new("pump").execute(&mut db).unwrap();
        let q = new("q").execute(&mut db).unwrap();
        for _ in 0..3 {
            let before = cache.stats();
            let found = [
                costs!(statements, cache, (1, 0), Plain::get_from_cache(&mut db, projects::id, p.id).unwrap()),
                costs!(statements, cache, (1, 0), Plain::get_from_cache(&mut db, projects::slug, "pump").unwrap()),
                costs!(statements, cache, (1, 0), Plain::get_from_cache(&mut db, PAIR, (1, "pump")).unwrap()),
                costs!(statements, cache, (1, 0), Plain::get_fresh_from_cache(&mut db, projects::id, p.id).unwrap()),
            ];
            assert!(found.iter().all(|row| *row == p));
            let many = costs!(statements, cache, (1, 0),
                Plain::get_many_from_cache(&mut db, projects::id, [q.id, NO_ID, p.id]).unwrap());
            assert_eq!(many, [Some(q.clone()), None, Some(p.clone())]);
            let after = cache.stats();
            assert_eq!(after.bypasses - before.bypasses, 4 + 3);
            assert_eq!((after.hits, after.misses, after.fills, after.near_hits), (0, 0, 0, 0));
        }
        let missing = Plain::get_from_cache(&mut db, projects::slug, "nope").unwrap_err().to_string();
        assert_eq!(missing, Plain::get_from_cache(&mut on_db, projects::slug, "nope").unwrap_err().to_string());
        assert_eq!(on.stats().hits, 0, "nothing was filled");
    }

    fn write_only_writes_tell_whoever_reads(conn, place, store) {
        let (on, mut reader) = (cache_on(&store), place.connect());
        let cache = Cache::builder().store(store).phase::<Plain>(Phase::WriteOnly).build().unwrap();
        let statements = count::statements(conn);
        let (mut db, mut on_db) = (Session::new(conn, &cache), Session::new(&mut reader, &on));
        let mut p = Plain::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        for way in ["update", "save", "update_where", "transaction", "upsert"] {
            hit!(on, Plain::get_from_cache(&mut on_db, projects::id, p.id).unwrap());
            hit!(on, Plain::get_from_cache(&mut on_db, projects::slug, "pump").unwrap());
            let trips = cache.stats().round_trips;
            match way {
                "update" => {
                    costs!(statements, cache, (1, 2), p.update().name(way).execute(&mut db).unwrap());
                }
                "save" => {
                    p.name = way.into();
                    costs!(statements, cache, (place.returning(1, 4), 2), p.save(&mut db).unwrap());
                }
                "update_where" => {
                    Plain::update_where(projects::id.eq(p.id)).name(way).execute(&mut db).unwrap();
                }
                "transaction" => db.transaction(|db| p.update().name(way).execute(db).map(drop)).unwrap(),
                _ => {
                    Plain::create_or_update().slug("pump").defaults(|d| d.name(way)).execute(&mut db).unwrap();
                }
            }
            assert_eq!(cache.stats().round_trips - trips, 2, "{way}: the intent, the release");
            assert_eq!(Plain::get_from_cache(&mut on_db, projects::id, p.id).unwrap().name, way);
            assert_eq!(Plain::get_from_cache(&mut on_db, projects::slug, "pump").unwrap().name, way);
        }
        hit!(on, Plain::get_from_cache(&mut on_db, projects::id, p.id).unwrap());
        p.delete(&mut db).unwrap();
        assert!(Plain::get_from_cache(&mut on_db, projects::id, p.id).optional().unwrap().is_none());
    }

    fn negative_that_is_write_only_tells_of_new_keys_and_knows_nothing(conn, place, store) {
        let (on, mut reader) = (cache_on(&store), place.connect());
        let cache = Cache::builder().store(store).negative_phase::<Listed>(Phase::WriteOnly).build().unwrap();
        let statements = count::statements(conn);
        let (mut db, mut on_db) = (Session::new(conn, &cache), Session::new(&mut reader, &on));
        assert_eq!(cache.negative_phase::<Listed>().unwrap(), Some(Phase::WriteOnly));

        // What others know it does not believe, nor does it store what it finds.
        for _ in 0..2 {
            absent!(on, Listed::get_from_cache(&mut on_db, projects::slug, "new"));
            absent!(on, Listed::get_from_cache(&mut on_db, PAIR, (1, "new")));
            absent!(on, Listed::get_from_cache(&mut on_db, projects::id, NO_ID));
            statements.take();
            for _ in 0..2 {
                assert!(Listed::get_from_cache(&mut db, projects::slug, "new").optional().unwrap().is_none());
                assert!(Listed::get_from_cache(&mut db, projects::id, NO_ID).optional().unwrap().is_none());
                let many = Listed::get_many_from_cache(&mut db, projects::id, [NO_ID]).unwrap();
                assert_eq!(many, [None]);
            }
            assert_eq!(statements.take().len(), 6);
        }
        assert_eq!((cache.stats().negative_hits, cache.stats().fills), (0, 0));

        absent!(on, Listed::get_from_cache(&mut on_db, projects::slug, "new"));
        absent!(on, Listed::get_from_cache(&mut on_db, PAIR, (1, "new")));
        absent!(on, Listed::get_from_cache(&mut on_db, projects::id, NO_ID));
        let new = Listed::create().id(NO_ID).organization_id(1).slug("new").name("new");
        // As where it is on: BEGIN, INSERT, SELECT, COMMIT; the intents, the releases.
        let mut row = costs!(statements, cache, (4, 2), new.execute(&mut db).unwrap());
        assert_eq!(Listed::get_from_cache(&mut on_db, projects::slug, "new").unwrap(), row);
        assert_eq!(Listed::get_from_cache(&mut on_db, PAIR, (1, "new")).unwrap(), row);
        assert_eq!(Listed::get_from_cache(&mut on_db, projects::id, NO_ID).unwrap(), row);

        absent!(on, Listed::get_from_cache(&mut on_db, projects::slug, "moved"));
        row.update().slug("moved").execute(&mut db).unwrap();
        assert_eq!(Listed::get_from_cache(&mut on_db, projects::slug, "moved").unwrap().id, NO_ID);
        // Rows it reads from the cache as before.
        hit!(cache, Listed::get_from_cache(&mut db, projects::id, NO_ID).unwrap());
    }

    fn off_neither_asks_nor_tells(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let db = &mut db;
        let mut p = Retired::create().organization_id(1).slug("pump").name("Pump").execute(db).unwrap();
        assert!(p.update().name("Station").execute(db).unwrap());
        db.transaction(|db| p.update().events(F(projects::events) + 1).execute(db).map(drop)).unwrap();
        Retired::create_or_update().slug("pump").defaults(|d| d.name("Mill")).execute(db).unwrap();
        Retired::update_where(projects::id.eq(p.id)).events(7).execute(db).unwrap();
        Retired::invalidate(db, projects::id, [p.id]).unwrap();
        for _ in 0..3 {
            let found = Retired::get_from_cache(db, projects::slug, "pump").unwrap();
            assert_eq!((found.events, found.name.as_str()), (7, "Mill"));
        }
        assert!(p.delete(db).unwrap());
        assert_eq!(Retired::get_many_from_cache(db, projects::id, [p.id]).unwrap(), [None]);
        assert_eq!((cache.stats().round_trips, cache.stats().bypasses), (0, 4));
        assert_eq!(db.cache_outcome(), model_runtime::CacheOutcome::Untouched);
    }

    fn what_is_set_at_run_time_counts_at_once_for_every_clone(conn, store) {
        let cache = cache_on(&store);
        let clone = cache.clone();
        let statements = count::statements(conn);
        let mut db = Session::new(conn, &cache);
        let p = Plain::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        hit!(cache, Plain::get_from_cache(&mut db, projects::id, p.id).unwrap());
        clone.set_phase::<Plain>(Phase::WriteOnly).unwrap();
        assert_eq!(cache.phase::<Plain>().unwrap(), Phase::WriteOnly);
        assert!(format!("{cache:?}").contains(r#"phases: {"Plain": WriteOnly}"#), "{cache:?}");
        costs!(statements, cache, (1, 0), Plain::get_from_cache(&mut db, projects::id, p.id).unwrap());
        // Whoever goes on reads what stands there: writes were told of all the while.
        cache.set_phase::<Plain>(Phase::On).unwrap();
        costs!(statements, cache, (0, 1), Plain::get_from_cache(&mut db, projects::id, p.id).unwrap());
    }

    fn a_lookup_under_way_fills_nothing_once_the_phase_is_write_only(conn, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Listed::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let setting = cache.clone();
        store.after(|it| matches!(it, Command::Lease { .. }), move || {
            setting.set_phase::<Listed>(Phase::WriteOnly).unwrap();
        });
        assert_eq!(Listed::get_from_cache(&mut db, projects::id, p.id).unwrap(), p);
        assert_eq!((store.pending(), cache.stats().fills), (0, 0));
        cache.set_phase::<Listed>(Phase::On).unwrap();
        let misses = cache.stats().misses;
        assert_eq!(Listed::get_from_cache(&mut db, projects::id, p.id).unwrap(), p);
        assert_eq!((cache.stats().misses - misses, cache.stats().fills), (1, 1), "the lease was given back");

        let setting = cache.clone();
        store.after(|it| matches!(it, Command::Lease { .. }), move || {
            setting.set_negative_phase::<Listed>(Phase::WriteOnly).unwrap();
        });
        assert!(Listed::get_from_cache(&mut db, projects::slug, "nope").optional().unwrap().is_none());
        assert_eq!((store.pending(), cache.stats().fills), (0, 1));
        cache.set_negative_phase::<Listed>(Phase::On).unwrap();
        assert!(Listed::get_from_cache(&mut db, projects::slug, "nope").optional().unwrap().is_none());
        assert_eq!((cache.stats().negative_hits, cache.stats().fills), (0, 2));
    }

    fn copies_near_their_readers_end_with_each_step(conn, store) {
        let namespace = format!("phases{}", fastrand::u64(..));
        let cache = Cache::builder().store(store).namespace(&namespace).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Close::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        while cache.stats().near_hits == 0 {
            Close::get_from_cache(&mut db, projects::id, p.id).unwrap();
        }
        cache.set_phase::<Close>(Phase::WriteOnly).unwrap();
        let before = cache.stats();
        Close::get_from_cache(&mut db, projects::id, p.id).unwrap();
        Close::get_many_from_cache(&mut db, projects::id, [p.id]).unwrap();
        cache.set_phase::<Close>(Phase::On).unwrap();
        Close::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let after = cache.stats();
        assert_eq!((after.near_hits, after.bypasses), (before.near_hits, before.bypasses + 2));
        assert_eq!(after.round_trips, before.round_trips + 1);
    }

    fn from_off_to_on_goes_by_write_only_and_an_empty_cache(conn, store) {
        let brief = Duration::from_millis(30);
        let cache = Cache::builder().store(store).intent_lifetime(brief).lease(brief).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Plain::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        while cache.stats().hits == 0 {
            Plain::get_from_cache(&mut db, projects::id, p.id).unwrap();
        }
        let refused = cache.set_phase::<Plain>(Phase::Off).unwrap_err().to_string();
        assert!(refused.contains("Plain: it stays on and does not become off: go by way of write-only"), "{refused}");
        cache.set_phase::<Plain>(Phase::WriteOnly).unwrap();
        std::thread::sleep(brief);
        cache.set_phase::<Plain>(Phase::Off).unwrap();
        p.update().name("untold").execute(&mut db).unwrap();
        assert!(cache.set_phase::<Plain>(Phase::On).is_err());
        cache.set_phase::<Plain>(Phase::WriteOnly).unwrap();
        std::thread::sleep(brief);
        let refused = cache.set_phase::<Plain>(Phase::On).unwrap_err().to_string();
        assert!(refused.contains("call `clear` before"), "{refused}");
        assert_eq!(Plain::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "untold");
        cache.clear::<Plain>().unwrap();
        cache.set_phase::<Plain>(Phase::On).unwrap();
        assert_eq!(Plain::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "untold");
    }

    fn a_transaction_tells_what_the_phase_at_its_commit_demands(conn, place, store) {
        let (on, mut reader) = (cache_on(&store), place.connect());
        let cache = Cache::builder().store(store).phase::<Listed>(Phase::Off).build().unwrap();
        let (mut db, mut on_db) = (Session::new(conn, &cache), Session::new(&mut reader, &on));
        let mut p = Listed::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        hit!(on, Listed::get_from_cache(&mut on_db, projects::id, p.id).unwrap());
        absent!(on, Listed::get_from_cache(&mut on_db, projects::slug, "new"));
        db.transaction(|db| {
            p.update().name("told").execute(db)?;
            Listed::create().organization_id(1).slug("new").name("new").execute(db)?;
            cache.set_phase::<Listed>(Phase::WriteOnly)
        })
        .unwrap();
        assert_eq!(cache.stats().round_trips, 2);
        assert_eq!(Listed::get_from_cache(&mut on_db, projects::id, p.id).unwrap().name, "told");
        assert_eq!(Listed::get_from_cache(&mut on_db, projects::slug, "new").unwrap().name, "new");
        let refused = cache.set_phase::<Listed>(Phase::On).unwrap_err().to_string();
        assert!(refused.contains("may still be at work"), "what began in off may place nothing: {refused}");
    }

    fn the_later_word_counts(conn, store) {
        let _ = conn;
        let attribute = cache_on(&store);
        assert_eq!(attribute.phase::<Staged>().unwrap(), Phase::WriteOnly);
        assert_eq!(attribute.negative_phase::<Staged>().unwrap(), Some(Phase::WriteOnly));
        assert_eq!((attribute.phase::<Retired>().unwrap(), attribute.phase::<Plain>().unwrap()), (Phase::Off, Phase::On));
        let builder = Cache::builder().store(store.clone()).phase::<Staged>(Phase::On);
        let builder = builder.negative_phase::<Staged>(Phase::On).build().unwrap();
        assert_eq!(builder.phase::<Staged>().unwrap(), Phase::On);
        assert_eq!(builder.negative_phase::<Staged>().unwrap(), Some(Phase::On));
        builder.set_negative_phase::<Staged>(Phase::WriteOnly).unwrap();
        builder.set_phase::<Staged>(Phase::WriteOnly).unwrap();
        assert_eq!(builder.phase::<Staged>().unwrap(), Phase::WriteOnly);
        assert_eq!(builder.negative_phase::<Staged>().unwrap(), Some(Phase::WriteOnly));
        assert_eq!(attribute.negative_phase::<Plain>().unwrap(), None);

        for refused in [
            attribute.set_phase::<Organization>(Phase::WriteOnly),
            attribute.set_negative_phase::<Plain>(Phase::WriteOnly),
            attribute.set_negative_phase::<Listed>(Phase::Off),
            Cache::builder().store(store.clone()).phase::<Organization>(Phase::On).build().map(drop),
            Cache::builder().store(store).negative_phase::<Plain>(Phase::On).build().map(drop),
        ] {
            assert!(matches!(refused, Err(Error::Cache(_))), "{refused:?}");
        }
    }

    fn a_struct_that_tells_less_than_another_of_its_name_is_refused(conn, store) {
        let cache = cache_on(&store);
        let statements = count::statements(conn);
        let mut db = Session::new(conn, &cache);
        let db = &mut db;
        let mut loaded = Tracked::new(unsaved());
        absent!(cache, New::get_from_cache(db, projects::slug, "pump"));
        statements.take();
        let refused = Old::create().organization_id(1).slug("pump").name("Pump").execute(db).unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, Error::Cache(_)), "{text}");
        for part in ["Old: ", "`phases::New` has `negative`", "`phases::Old` has not", "another `name`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let all = [
            loaded.save(db).map(drop),
            Old::save_many(db, [&mut loaded]).map(drop),
            Old::create_many(db, [Old::create().slug("a")]).map(drop),
            Old::create_or_update().slug("a").execute(db).map(drop),
            Old::get_or_create().slug("a").execute(db).map(drop),
            Old::update_where(projects::id.eq(1)).events(1).execute(db).map(drop),
            Old::delete_where(projects::id.eq(1)).execute(db).map(drop),
            Old::get_from_cache(db, projects::slug, "pump").map(drop),
            Old::get_many_from_cache(db, projects::slug, ["pump"]).map(drop),
            cache.set_phase::<Old>(Phase::WriteOnly),
        ];
        for (place, refused) in all.iter().enumerate() {
            assert!(matches!(refused, Err(Error::Cache(_))), "{place}: {refused:?}");
        }
        let sent = statements.take();
        assert!(sent.iter().all(|sql| sql.starts_with("BEGIN") || sql.starts_with("ROLLBACK")), "{sent:?}");

        // Another process may have both: what is known as absent is not believed any more.
        for _ in 0..2 {
            assert!(New::get_from_cache(db, projects::slug, "pump").optional().unwrap().is_none());
            assert_eq!(statements.take().len(), 1);
        }
        let row = New::create().organization_id(1).slug("pump").name("Pump").execute(db).unwrap();
        assert_eq!(New::get_from_cache(db, projects::slug, "pump").unwrap(), row);
        let other = cache_on(&store);
        let mut db = Session::new(db.connection(), &other);
        assert!(Old::get_from_cache(&mut db, projects::slug, "pump").is_ok(), "with another cache it is alone");
    }

    fn whoever_comes_second_is_refused(conn, store) {
        let cache = cache_on(&store);
        let mut db = Session::new(conn, &cache);
        let db = &mut db;
        let mut row = Old::create().organization_id(1).slug("pump").name("Pump").execute(db).unwrap();
        assert!(matches!(New::get_from_cache(db, projects::slug, "nope"), Err(Error::Cache(_))));
        assert!(row.update().slug("nope").execute(db).unwrap());
        assert!(matches!(New::get_from_cache(db, projects::slug, "nope"), Err(Error::Cache(_))));

        for (first, second) in [("lookups", "with other lookups"), ("key", "another primary key"), ("phase", "`phase`")] {
            let cache = cache_on(&store);
            let mut db = Session::new(db.connection(), &cache);
            let db = &mut db;
            let refused = match first {
                "lookups" => {
                    New::get_from_cache(db, projects::slug, "x").optional().unwrap();
                    Fewer::get_from_cache(db, projects::slug, "x").map(drop)
                }
                "key" => {
                    Old::get_from_cache(db, projects::slug, "x").optional().unwrap();
                    BySlug::get_from_cache(db, projects::slug, "x").map(|row| assert!(row.slug.len() > 1 && row.events == 0))
                }
                _ => {
                    Old::get_from_cache(db, projects::slug, "x").optional().unwrap();
                    Silent::get_from_cache(db, projects::slug, "x").map(drop)
                }
            };
            let text = refused.unwrap_err().to_string();
            assert!(text.starts_with("cache: ") && text.contains(second), "{text}");
        }
    }

    fn structs_that_agree_see_what_the_other_makes(conn, store) {
        let cache = cache_on(&store);
        let mut db = Session::new(conn, &cache);
        let db = &mut db;
        absent!(cache, New::get_from_cache(db, projects::slug, "pump"));
        absent!(cache, New::get_from_cache(db, PAIR, (1, "Pump")));
        let row = Alike::create().organization_id(1).slug("pump").name("Pump").execute(db).unwrap();
        assert_eq!(New::get_from_cache(db, projects::slug, "pump").unwrap().id, row.id);
        assert_eq!(New::get_from_cache(db, PAIR, (1, "Pump")).unwrap().id, row.id);
    }
}
