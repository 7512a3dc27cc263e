//! Promise: the cache never serves a row older than what was committed when the read began. Every race of
//! this file is one deterministic interleaving, on every database and store.
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, projects};
use integration_tests::on_every_database_and_store;
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use std::sync::mpsc;
use std::time::Duration;

on_every_database_and_store! {
    fn a_read_that_began_before_a_write_does_not_fill_afterwards(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        // The reader has its lease and its row, and is about to fill.
        let (mut writer, writers_cache) = (place.connect(), cache.clone());
        let id = p.id;
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut writer, &writers_cache);
            let mut p = db
                .transaction(|db| Project::get_from_cache(db, projects::id, id))
                .unwrap();
            p.update().name("new").execute(&mut db).unwrap();
        });
        let read = Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!(read.name, "old", "the row it read before the write");
        assert_eq!(store.pending(), 0);
        assert_eq!(cache.stats().refused_fills, 1);
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "new");
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "new");
        p.update().name("newer").execute(&mut db).unwrap();
    }

    fn a_read_between_intent_and_commit_neither_hits_nor_fills(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let (mut reader, readers_cache, id) = (place.connect(), cache.clone(), p.id);
        let (sent, seen) = mpsc::channel();
        store.after(|command| matches!(command, Command::Place { .. }), move || {
            let mut db = Session::new(&mut reader, &readers_cache);
            sent.send(Project::get_from_cache(&mut db, projects::id, id).unwrap().into_inner()).unwrap();
        });
        p.update().name("new").execute(&mut db).unwrap();
        assert_eq!(seen.try_recv().unwrap().name, "old", "committed then");
        let stats = cache.stats();
        assert_eq!((stats.bypasses, stats.hits), (1, 0));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "new");
    }

    fn a_reader_after_the_commit_never_joins_an_older_load(conn, place, store) {
        let store = Interleaved::new(store);
        // The second reader stands still on the first one's thread, until it waits no longer for it.
        let lease = Duration::from_millis(300);
        let cache = Cache::builder().store(store.clone()).lease(lease).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("old").execute(&mut db).unwrap();
        let (mut other, others_cache, id) = (place.connect(), cache.clone(), p.id);
        let (sent, seen) = mpsc::channel();
        // The first reader holds the old row; a write commits; a second reader begins.
        store.before(|command| matches!(command, Command::Swap { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            let mut p = db.transaction(|db| Project::get_from_cache(db, projects::id, id)).unwrap();
            p.update().name("new").execute(&mut db).unwrap();
            sent.send(Project::get_from_cache(&mut db, projects::id, id).unwrap().into_inner()).unwrap();
        });
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        assert_eq!(seen.try_recv().unwrap().name, "new");
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "new");
    }

    fn a_moved_unique_value_is_found_at_its_new_owner(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut a = Project::create().organization_id(1).slug("x").name("A").execute(&mut db).unwrap();
        let mut b = Project::create().organization_id(1).slug("y").name("B").execute(&mut db).unwrap();
        for _ in 0..3 {
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, "x").unwrap().id, a.id);
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, "y").unwrap().id, b.id);
        }
        a.update().slug("z").execute(&mut db).unwrap();
        assert!(Project::get_from_cache(&mut db, projects::slug, "x").optional().unwrap().is_none());
        b.update().slug("x").execute(&mut db).unwrap();
        for _ in 0..3 {
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, "x").unwrap().id, b.id);
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, "z").unwrap().id, a.id);
            assert!(Project::get_from_cache(&mut db, projects::slug, "y").optional().unwrap().is_none());
        }
    }

    fn a_pointer_to_a_row_with_another_value_is_not_believed(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let a = Project::create().organization_id(1).slug("x").name("A").execute(&mut db).unwrap();
        for _ in 0..2 {
            Project::get_from_cache(&mut db, projects::slug, "x").unwrap();
        }
        // Plain Diesel moves the value and one operation of ours drops the row entry: the pointer is left.
        diesel::insert_into(projects::table)
            .values((
                projects::organization_id.eq(1),
                projects::slug.eq("x2"),
                projects::name.eq("B"),
                projects::date_added.eq(a.date_added),
                projects::date_updated.eq(a.date_added),
            ))
            .execute(db.connection())
            .unwrap();
        let by_slug = projects::table.filter(projects::slug.eq("x2"));
        let b: i32 = by_slug.select(projects::id).first(db.connection()).unwrap();
        diesel::update(projects::table.find(a.id)).set(projects::slug.eq("free")).execute(db.connection()).unwrap();
        diesel::update(projects::table.find(b)).set(projects::slug.eq("x")).execute(db.connection()).unwrap();
        let mut fresh = db.transaction(|db| Project::get_from_cache(db, projects::id, a.id)).unwrap();
        fresh.update().events(1).execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, a.id).unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "x").unwrap().id, b);
        assert_eq!(cache.stats().stale_pointers, 1);
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "x").unwrap().id, b);
        assert_eq!(cache.stats().stale_pointers, 1, "the pointer was replaced");
    }

    fn a_dangling_pointer_is_a_miss_not_an_absence(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut a = Project::create().organization_id(1).slug("x").name("A").execute(&mut db).unwrap();
        for _ in 0..2 {
            Project::get_from_cache(&mut db, projects::slug, "x").unwrap();
        }
        let stale = a.clone();
        a.delete(&mut db).unwrap();
        assert!(Project::get_from_cache(&mut db, projects::slug, "x").optional().unwrap().is_none());
        let again = Project::create().organization_id(1).slug("x").name("A").execute(&mut db).unwrap();
        for _ in 0..3 {
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, "x").unwrap(), again);
        }
        assert_ne!(stale.id, again.id);
    }

    fn a_stale_copy_in_memory_does_not_decide_which_keys_are_touched(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut other = place.connect();
        let mut db = Session::new(conn, &cache);
        let mut a = Project::create().organization_id(1).slug("x").name("A").execute(&mut db).unwrap();
        let mut stale = a.clone();
        a.update().slug("y").execute(&mut db).unwrap();
        for _ in 0..2 {
            Project::get_from_cache(&mut db, projects::slug, "y").unwrap();
        }
        let mut second = Session::new(&mut other, &cache);
        stale.update().events(9).execute(&mut second).unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "y").unwrap().events, 9);
    }

    fn a_rollback_leaves_nothing_behind(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("A").execute(&mut db).unwrap();
        for _ in 0..2 {
            Project::get_from_cache(&mut db, projects::slug, "pump").unwrap();
        }
        let before = cache.stats();
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            p.update().name("ghost").execute(db)?;
            assert_eq!(Project::get_from_cache(db, projects::slug, "pump")?.name, "ghost", "the database answers");
            Project::create().organization_id(1).slug("ghost").name("G").execute(db)?;
            Err(diesel::result::Error::RollbackTransaction.into())
        });
        assert!(rolled_back.is_err());
        assert_eq!(cache.stats().round_trips, before.round_trips, "nothing was sent");
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "pump").unwrap().name, "A");
        assert_eq!(cache.stats().hits, before.hits + 1, "the entry is still there");
        assert!(Project::get_from_cache(&mut db, projects::slug, "ghost").optional().unwrap().is_none());
    }

    fn a_rolled_back_savepoint_leaves_the_outer_write(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("A").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        db.transaction(|db| {
            p.update().name("outer").execute(db)?;
            let inner: Result<(), Error> = db.transaction(|db| {
                p.update().name("inner").execute(db)?;
                Err(Error::Query("roll back".into()))
            });
            assert!(inner.is_err());
            assert_eq!(p.old_value(projects::name).map(String::as_str), Some("outer"));
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(p.name, "inner", "memory keeps what the user set");
        assert!(p.has_changed(projects::name));
        assert_eq!(p.old_value(projects::name).map(String::as_str), Some("outer"));
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "outer");
        p.save(&mut db).unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "inner");
    }

    fn after_a_rollback_old_value_is_what_the_database_holds(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("A").execute(&mut db).unwrap();
        let mut created = None;
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            p.update().name("B").execute(db)?;
            p.name = "C".into();
            p.save(db)?;
            db.transaction(|db| p.update().name("D").execute(db))?;
            created = Some(Project::create().organization_id(1).slug("new").name("N").execute(db)?);
            Err(Error::Query("roll back".into()))
        });
        assert!(rolled_back.is_err());
        assert_eq!(p.name, "D");
        assert_eq!(p.old_value(projects::name).map(String::as_str), Some("A"));
        let mut created = created.unwrap();
        assert_eq!(created.old_value(projects::name), None, "unsaved again");
        assert!(matches!(created.update().name("x").execute(&mut db), Err(Error::Unsaved { .. })));
        created.save(&mut db).unwrap();
        assert_eq!(created.old_value(projects::name).map(String::as_str), Some("N"));
        let deleted: Result<(), Error> = db.transaction(|db| {
            created.delete(db)?;
            Err(Error::Query("roll back".into()))
        });
        assert!(deleted.is_err());
        assert!(created.update().name("N2").execute(&mut db).unwrap(), "the row is still there");
    }

    fn a_panic_rolls_back_and_the_session_goes_on(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("A").execute(&mut db).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.transaction(|db| -> Result<(), Error> {
                p.update().name("ghost").execute(db)?;
                std::panic::resume_unwind(Box::new("boom"))
            })
        }));
        assert!(caught.is_err());
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "A");
        assert_eq!(p.old_value(projects::name).map(String::as_str), Some("A"));
        p.save(&mut db).unwrap();
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "ghost");
    }

    fn a_transaction_opened_outside_the_session_is_recognised(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut other_conn = place.connect();
        let mut other = Session::new(&mut other_conn, &cache);
        let mut p = {
            let mut db = Session::new(conn, &cache);
            Project::create().organization_id(1).slug("pump").name("A").execute(&mut db).unwrap()
        };
        Project::get_from_cache(&mut other, projects::id, p.id).unwrap();
        conn.transaction::<_, Error, _>(|conn| {
            let mut db = Session::new(conn, &cache);
            p.update().name("B").execute(&mut db)?;
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id)?.name, "B");
            // Not committed, so nobody else may be served the new value, or fill the old one.
            assert_eq!(Project::get_from_cache(&mut other, projects::id, p.id)?.name, "A");
            db.transaction(|db| p.update().events(3).execute(db))?;
            Ok(())
        })
        .unwrap();
        let read = Project::get_from_cache(&mut other, projects::id, p.id).unwrap();
        assert_eq!((read.name.as_str(), read.events), ("B", 3), "right after the commit");
        let rolled_back: Result<(), Error> = conn.transaction(|conn| {
            let mut db = Session::new(conn, &cache);
            p.update().name("C").execute(&mut db)?;
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id)?.name, "C");
            Err(diesel::result::Error::RollbackTransaction.into())
        });
        assert!(rolled_back.is_err());
        assert_eq!(Project::get_from_cache(&mut other, projects::id, p.id).unwrap().name, "B");
    }
}
