//! Promise: an UPDATE or DELETE of many rows invalidates exactly the rows it touched.
use diesel::prelude::*;
use integration_tests::databases::Place as _;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Blob, Counter, Organization, Project, counters, organizations, projects};
use integration_tests::{count, on_every_database, on_every_database_and_store};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;

/// Projects of three organizations, cached by slug.
macro_rules! cached_projects {
    ($db:ident, $count:expr) => {{
        for n in 0..$count {
            let slug = format!("p{n}");
            Project::create()
                .organization_id(n % 3)
                .slug(&slug)
                .name(&slug)
                .events(n)
                .execute(&mut $db)
                .unwrap();
            for _ in 0..2 {
                Project::get_from_cache(&mut $db, projects::slug, &slug).unwrap();
            }
        }
    }};
}

on_every_database_and_store! {
    fn every_updated_row_is_read_anew_and_no_other(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        cached_projects!(db, 9);
        let before = cache.stats();
        let rows = Project::update_where(projects::organization_id.eq(1))
            .events(F(projects::events) + 100)
            .execute(&mut db)
            .unwrap();
        assert_eq!(rows, 3);
        assert_eq!(cache.stats().round_trips, before.round_trips + 2, "whatever the number of rows");
        for n in 0..9 {
            let p = Project::get_from_cache(&mut db, projects::slug, format!("p{n}")).unwrap();
            assert_eq!(p.events, if n % 3 == 1 { n + 100 } else { n });
        }
        assert_eq!(cache.stats().hits, before.hits + 6, "the other rows stayed cached");
    }

    fn deleted_rows_are_gone_from_the_cache(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        cached_projects!(db, 6);
        let predicate = projects::events.ge(2).and(projects::slug.ne("p5"));
        assert_eq!(Project::delete_where(predicate).execute(&mut db).unwrap(), 3);
        for n in 0..6 {
            let found = Project::get_from_cache(&mut db, projects::slug, format!("p{n}")).optional().unwrap();
            assert_eq!(found.is_some(), n < 2 || n == 5, "p{n}");
        }
        assert_eq!(Project::delete_where(projects::events.eq(999)).execute(&mut db).unwrap(), 0);
    }

    fn a_reader_between_the_statement_and_its_commit_fills_nothing(conn, place, store) {
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        cached_projects!(db, 2);
        let (mut reader, readers_cache) = (place.connect(), cache.clone());
        store.after(|command| matches!(command, Command::Place { .. }), move || {
            let mut db = Session::new(&mut reader, &readers_cache);
            let seen = Project::get_from_cache(&mut db, projects::slug, "p0").unwrap();
            assert_eq!(seen.events, 0, "not committed yet");
        });
        Project::update_where(projects::slug.eq("p0")).events(7).execute(&mut db).unwrap();
        assert_eq!(store.pending(), 0);
        assert_eq!(Project::get_from_cache(&mut db, projects::slug, "p0").unwrap().events, 7);
    }

    fn a_rollback_takes_a_bulk_write_back(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        cached_projects!(db, 3);
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            assert_eq!(Project::update_where(projects::events.ge(0)).events(50).execute(db)?, 3);
            assert_eq!(Project::delete_where(projects::events.eq(50)).execute(db)?, 3);
            Err(diesel::result::Error::RollbackTransaction.into())
        });
        assert!(rolled_back.is_err());
        for n in 0..3 {
            assert_eq!(Project::get_from_cache(&mut db, projects::slug, format!("p{n}")).unwrap().events, n);
        }
    }
}

on_every_database! {
    fn a_bound_that_refuses_one_row_refuses_all_of_a_bulk_update(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        cached_projects!(db, 3);
        let refused = Project::update_where(projects::organization_id.ge(0))
            .events(F(projects::events) - 1)
            .execute(&mut db);
        assert!(matches!(refused, Err(Error::OutOfBounds(_))), "p0 would be -1: {refused:?}");
        let stored: Vec<i32> =
            projects::table.order(projects::id).select(projects::events).load(db.connection()).unwrap();
        assert_eq!(stored, [0, 1, 2], "nothing was written");
        assert!(matches!(Project::update_where(projects::id.gt(0)).events(-1).execute(&mut db), Err(Error::OutOfBounds(_))));
        // Up to the limit is allowed, also where the result stands at it.
        let rows = Project::update_where(projects::events.ge(1))
            .events(F(projects::events) - 1)
            .execute(&mut db)
            .unwrap();
        assert_eq!(rows, 2);
        // Without a cache the guards hold as well.
        Counter::create().a(1).maybe(1000).execute(&mut db).unwrap();
        Counter::create().a(1).maybe(1).execute(&mut db).unwrap();
        let refused = Counter::update_where(counters::a.eq(1)).maybe(F(counters::maybe) + 1).execute(&mut db);
        assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{refused:?}");
        let sum: Vec<Option<i32>> =
            counters::table.order(counters::id).select(counters::maybe).load(db.connection()).unwrap();
        assert_eq!(sum, [Some(1000), Some(1)]);
    }

    fn bulk_assignments_read_old_values(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for n in 1..=2 {
            Counter::create().a(n).b(10 * n).execute(&mut db).unwrap();
        }
        let rows = Counter::update_where(counters::a.gt(0))
            .a(F(counters::b))
            .b(F(counters::a))
            .execute(&mut db)
            .unwrap();
        assert_eq!(rows, 2);
        let stored: Vec<(i32, i32)> =
            counters::table.order(counters::id).select((counters::a, counters::b)).load(db.connection()).unwrap();
        assert_eq!(stored, [(10, 1), (20, 2)]);
    }

    fn a_bulk_write_of_an_uncached_model_is_one_statement(conn) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for name in ["a", "b", "c"] {
            Organization::create().name(name).execute(&mut db).unwrap();
        }
        statements.take();
        assert_eq!(Organization::update_where(organizations::name.ne("a")).name("x").execute(&mut db).unwrap(), 2);
        assert_eq!(statements.take().len(), 1);
        assert_eq!(Organization::delete_where(organizations::name.eq("x")).execute(&mut db).unwrap(), 2);
        assert_eq!(statements.take().len(), 1);
    }

    fn a_bulk_write_is_prepared_once_where_its_types_tell_its_text(conn, place) {
        let kept = count::prepared(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        cached_projects!(db, 3);
        let count = |kept: &[String], verb| kept.iter().filter(|sql| sql.starts_with(verb)).count();
        kept.take();
        for n in 1..=3 {
            Project::update_where(projects::events.ge(n)).events(n).execute(&mut db).unwrap();
        }
        let seen = kept.take();
        let locks = place.returning(0, 1);
        assert_eq!((count(&seen, "UPDATE"), count(&seen, "SELECT")), (1, locks), "{seen:?}");
        for n in 1..=3 {
            Project::delete_where(projects::events.gt(n)).execute(&mut db).unwrap();
        }
        let seen = kept.take();
        assert_eq!((count(&seen, "DELETE"), seen.len()), (1, 1 + locks), "{seen:?}");
        // Of one type there are many texts.
        let literal = diesel::dsl::sql::<diesel::sql_types::Bool>("events >= 0");
        Project::update_where(literal.clone()).events(7).execute(&mut db).unwrap();
        Project::delete_where(literal).execute(&mut db).unwrap();
        assert_eq!(kept.take(), [""; 0]);
    }

    fn a_bulk_write_of_a_cached_model_is_one_transaction(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        cached_projects!(db, 3);
        statements.take();
        Project::update_where(projects::events.ge(0)).name(F(projects::slug)).execute(&mut db).unwrap();
        let sent = statements.take();
        assert_eq!(sent.len(), place.returning(3, 4), "{sent:?}");
        Project::delete_where(projects::events.ge(0)).execute(&mut db).unwrap();
        let sent = statements.take();
        assert_eq!(sent.len(), place.returning(3, 4), "{sent:?}");
    }

    fn what_makes_no_sense_is_refused(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let nothing = Project::update_where(projects::id.eq(1)).execute(&mut db).unwrap_err();
        // `#[auto_now]` alone is no assignment of the caller's.
        assert!(nothing.to_string().contains("sets no field"), "{nothing}");
        let key = Project::update_where(projects::id.eq(1)).id(2).execute(&mut db).unwrap_err();
        assert!(key.to_string().contains("primary key"), "{key}");
    }

    fn thousands_of_rows_are_invalidated_in_chunks(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        db.transaction(|db| {
            for n in 0..2100 {
                Project::create().organization_id(1).slug(format!("p{n}")).name(format!("p{n}")).execute(db)?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
        let before = cache.stats().round_trips;
        assert_eq!(Project::update_where(projects::organization_id.eq(1)).events(1).execute(&mut db).unwrap(), 2100);
        assert_eq!(cache.stats().round_trips - before, 2 + 2, "2048 rows each");
    }

    fn many_rows_are_created_in_their_order(conn, place) {
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let new = |n: i32| Project::create().organization_id(n).slug(format!("p{n}")).name("N");
        statements.take();
        let created = Project::create_many(&mut db, (0..300).map(new)).unwrap();
        // BEGIN and COMMIT, and 128 rows each.
        assert_eq!(statements.take().len(), place.returning(2 + 3, 2 + 1 + 600));
        assert!(created.iter().zip(0..).all(|(p, n)| p.organization_id == n && p.slug == format!("p{n}")));
        assert!(created.iter().all(|p| p.id > 0 && !p.has_changed(projects::slug)));
        assert_eq!(cache.stats().round_trips, 0);
        let stored = Project::get_from_cache(&mut db, projects::slug, "p299").unwrap();
        assert_eq!(stored, created[299]);
        assert!(Project::create_many(&mut db, Vec::new()).unwrap().is_empty());
    }

    fn rows_of_different_columns_and_of_none_are_created(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let rows = [
            Counter::create().a(1),
            Counter::create().a(F(counters::a) + 2),
            Counter::create().big(3).a(4),
            Counter::create(),
            Counter::create(),
            Counter::create().maybe(5),
        ];
        let created = Counter::create_many(&mut db, rows).unwrap();
        let seen: Vec<_> = created.iter().map(|c| (c.a, c.b, c.big, c.maybe)).collect();
        assert_eq!(seen, [(1, 5, 0, None), (2, 5, 0, None), (4, 5, 3, None), (0, 5, 0, None), (0, 5, 0, None), (0, 5, 0, Some(5))]);
        // A model without defaults of its own inserts the database's.
        assert_eq!(Blob::create_many(&mut db, [Blob::create(), Blob::create()]).unwrap().len(), 2);
    }

    fn one_bad_row_creates_none(conn) {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let new = |slug: &str| Project::create().organization_id(1).slug(slug).name(slug);
        let twice = Project::create_many(&mut db, [new("a"), new("b"), new("a")]);
        assert!(matches!(twice, Err(Error::Database(_))), "{twice:?}");
        let bounds = Project::create_many(&mut db, [new("a"), new("b").events(-1)]);
        assert!(matches!(bounds, Err(Error::OutOfBounds(_))), "{bounds:?}");
        assert_eq!(projects::table.count().get_result::<i64>(db.connection()).unwrap(), 0);
        let mut created = Vec::new();
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            created = Project::create_many(db, [new("a"), new("b")])?;
            Err(diesel::result::Error::RollbackTransaction.into())
        });
        assert!(rolled_back.is_err());
        assert!(matches!(created[0].update().name("x").execute(&mut db), Err(Error::Unsaved { .. })), "unsaved again");
    }
}
