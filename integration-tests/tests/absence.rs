//! Promise: with `negative = "…"` the cache remembers that a row does not exist, and never longer than that is true.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::projects;
use integration_tests::{count, on_every_database_and_store};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use std::sync::mpsc;

integration_tests::project_cached_as! {
    /// The model of the contract, whose absence is cached.
    Listed: slug, (organization_id, name), ttl = "5m", negative = "1m"
}

const NO_ID: i32 = 1_000_000;

macro_rules! by_slug {
    ($db:expr, $slug:expr) => {
        Listed::get_from_cache($db, projects::slug, $slug).optional().unwrap().map(|row| row.id)
    };
}

/// Asks until the cache knows that nothing has the slug.
macro_rules! known_as_absent {
    ($db:expr, $cache:expr, $slug:expr) => {
        let before = $cache.stats().negative_hits;
        assert_eq!(by_slug!($db, $slug), None);
        assert_eq!(by_slug!($db, $slug), None);
        assert_eq!($cache.stats().negative_hits, before + 1, "{} is not known as absent", $slug);
    };
}

on_every_database_and_store! {
    fn the_second_lookup_of_what_is_not_there_asks_no_database(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let statements = count::statements(conn);
        let mut db = Session::new(conn, &cache);
        for (column, round_trips) in [("slug", 4), ("id", 4)] {
            statements.take();
            let before = cache.stats();
            for _ in 0..2 {
                let found = match column {
                    "slug" => Listed::get_from_cache(&mut db, projects::slug, "nope").optional(),
                    _ => Listed::get_from_cache(&mut db, projects::id, NO_ID).optional(),
                };
                assert!(found.unwrap().is_none());
            }
            let stats = cache.stats();
            assert_eq!(statements.take().len(), 1, "{column}");
            assert_eq!(stats.negative_hits - before.negative_hits, 1, "{column}");
            assert_eq!(stats.round_trips - before.round_trips, round_trips, "look, lease, fill; look");
        }
        let found = Listed::get_many_from_cache(&mut db, projects::id, [NO_ID, NO_ID + 1]).unwrap();
        assert!(found.iter().all(Option::is_none));
        assert_eq!(statements.take().len(), 1, "one of them was not known");
        let found = Listed::get_many_from_cache(&mut db, projects::slug, ["nope", "nope"]).unwrap();
        assert!(found.iter().all(Option::is_none));
        assert_eq!(statements.take(), [] as [String; 0]);
    }

    fn every_write_that_makes_a_key_is_seen_at_once(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let db = &mut db;
        let new = |slug: &str| Listed::create().organization_id(1).slug(slug).name(slug);

        known_as_absent!(db, cache, "created");
        let mut row = new("created").execute(db).unwrap();
        assert_eq!(by_slug!(db, "created"), Some(row.id));

        known_as_absent!(db, cache, "renamed");
        row.update().slug("renamed").execute(db).unwrap();
        assert_eq!(by_slug!(db, "renamed"), Some(row.id));

        known_as_absent!(db, cache, "saved");
        row.slug = "saved".into();
        row.save(db).unwrap();
        assert_eq!(by_slug!(db, "saved"), Some(row.id));

        known_as_absent!(db, cache, "in bulk");
        let predicate = projects::id.eq(row.id);
        assert_eq!(Listed::update_where(predicate).slug("in bulk").execute(db).unwrap(), 1);
        assert_eq!(by_slug!(db, "in bulk"), Some(row.id));

        known_as_absent!(db, cache, "one of many");
        let many = Listed::create_many(db, [new("one of many"), new("another")]).unwrap();
        assert_eq!(by_slug!(db, "one of many"), Some(many[0].id));

        known_as_absent!(db, cache, "upserted");
        Listed::create_or_update().slug("upserted").defaults(|d| d.organization_id(1).name("u")).execute(db).unwrap();
        let upserted = by_slug!(db, "upserted");
        assert!(upserted.is_some());
        known_as_absent!(db, cache, "moved");
        let done = Listed::create_or_update().slug("upserted").defaults(|d| d.slug("moved")).execute(db).unwrap();
        assert!(matches!(done, CreateOrUpdate::Updated(1)));
        assert_eq!(by_slug!(db, "moved"), upserted);

        known_as_absent!(db, cache, "gotten");
        let lookup = Listed::get_or_create().slug("gotten").defaults(|d| d.organization_id(1).name("g"));
        let (gotten, created) = lookup.execute(db).unwrap();
        assert!(created);
        assert_eq!(by_slug!(db, "gotten"), Some(gotten.id));
    }

    fn every_kind_of_key_is_remembered_and_forgotten(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let db = &mut db;
        assert!(Listed::get_from_cache(db, projects::id, NO_ID).optional().unwrap().is_none());
        let new = Listed::create().id(NO_ID).organization_id(1).slug("by id").name("by id");
        let mut known = new.execute(db).unwrap();
        assert_eq!(Listed::get_from_cache(db, projects::id, NO_ID).unwrap().slug, "by id");
        let pair = (projects::organization_id, projects::name);
        assert!(Listed::get_from_cache(db, pair, (7, "by id")).optional().unwrap().is_none());
        known.update().organization_id(7).execute(db).unwrap();
        assert_eq!(Listed::get_from_cache(db, pair, (7, "by id")).unwrap().id, NO_ID);

        // And what is deleted becomes absent.
        assert_eq!(by_slug!(db, "by id"), Some(NO_ID));
        known.delete(db).unwrap();
        known_as_absent!(db, cache, "by id");
    }

    fn a_look_that_began_before_the_insert_does_not_store_the_absence(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let (mut other, others_cache) = (place.connect(), cache.clone());
        // The reader has its lease and found nothing, and is about to store that.
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            Listed::create().organization_id(1).slug("new").name("new").execute(&mut db).unwrap();
        });
        let mut db = Session::new(conn, &cache);
        assert_eq!(by_slug!(&mut db, "new"), None, "what it found before the insert");
        assert_eq!(store.pending(), 0);
        assert_eq!(cache.stats().refused_fills, 1);
        assert!(by_slug!(&mut db, "new").is_some());
    }

    fn between_intent_and_commit_absence_is_neither_told_nor_stored(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        known_as_absent!(&mut db, cache, "new");
        let known = cache.stats();
        let (mut reader, readers_cache) = (place.connect(), cache.clone());
        let (sent, seen) = mpsc::channel();
        store.after(|command| matches!(command, Command::Place { .. }), move || {
            let mut db = Session::new(&mut reader, &readers_cache);
            sent.send(by_slug!(&mut db, "new")).unwrap();
        });
        let row = Listed::create().organization_id(1).slug("new").name("new").execute(&mut db).unwrap();
        assert_eq!(seen.try_recv().unwrap(), None, "committed then");
        assert_eq!(cache.stats().negative_hits, known.negative_hits, "asked of the database");
        assert_eq!(by_slug!(&mut db, "new"), Some(row.id));
    }

    fn a_rolled_back_insert_leaves_the_absence(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        known_as_absent!(&mut db, cache, "ghost");
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            Listed::create().organization_id(1).slug("ghost").name("ghost").execute(db)?;
            assert!(by_slug!(db, "ghost").is_some(), "inside it is there");
            Err(Error::Query("roll back".into()))
        });
        assert!(rolled_back.is_err());
        assert_eq!(by_slug!(&mut db, "ghost"), None);
    }
}
