//! Promise: keys that are stored beside the rows reach the cache, whoever wrote them and whatever became of him.
use diesel::connection::{LoadConnection, SimpleConnection};
use diesel::prelude::*;
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Organization, Project, projects};
use integration_tests::{count, on_every_database_and_store};
use model_runtime::cache::protocol::Command;
use model_runtime::prelude::*;
use model_runtime::{CacheOutcome, Dialect, ModelSql};

integration_tests::project_cached_as! {
    /// The model of the contract, whose keys go to the outbox, and whose absence is cached.
    Stored: slug(iexact), (organization_id, name), negative = "1m", outage = "outbox", name = "Kept-1.x"
}

fn make_table<C: LoadConnection + SimpleConnection>(conn: &mut C)
where
    C::Backend: Dialect + Default,
{
    conn.batch_execute(&Stored::outbox_sql(C::Backend::default()).unwrap()).unwrap();
}

fn make_triggers<C: LoadConnection + SimpleConnection>(conn: &mut C)
where
    C::Backend: Dialect + Default,
    Stored: ModelSql<C::Backend>,
{
    conn.batch_execute(&Stored::outbox_triggers_sql(C::Backend::default()).unwrap()).unwrap();
}

macro_rules! insert {
    ($conn:expr, $slug:expr, $name:expr) => {
        diesel::insert_into(projects::table)
            .values((
                projects::organization_id.eq(7),
                projects::slug.eq($slug),
                projects::name.eq($name),
                projects::date_added.eq(chrono::NaiveDateTime::default()),
                projects::date_updated.eq(chrono::NaiveDateTime::default()),
            ))
            .execute($conn)
            .unwrap()
    };
}

on_every_database_and_store! {
    fn a_write_stores_its_keys_in_its_own_transaction(conn, store) {
        make_table(conn);
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Stored::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        db.sweep_outbox().unwrap();
        statements.take();
        p.update().events(1).execute(&mut db).unwrap();
        let sent = statements.take();
        assert_eq!(sent.len(), 5, "BEGIN, UPDATE, SELECT, INSERT, COMMIT: {sent:?}");
        assert_eq!(db.cache_outcome(), CacheOutcome::Told);
        let rolled_back: Result<(), Error> = db.transaction(|db| {
            p.update().events(2).execute(db)?;
            Err(Error::Query("roll back".into()))
        });
        assert!(rolled_back.is_err());
        p.delete(&mut db).unwrap();
        assert_eq!(db.sweep_outbox().unwrap(), 3 + 1, "the update's and the delete's, not the rolled-back one's");
        assert_eq!(db.sweep_outbox().unwrap(), 0);
        let many = (0..300).map(|n| Stored::create().organization_id(n).slug(format!("s{n}")).name("n"));
        Stored::create_many(&mut db, many).unwrap();
        assert_eq!(Stored::update_where(projects::organization_id.ge(0)).events(1).execute(&mut db).unwrap(), 300);
        assert_eq!(db.sweep_outbox().unwrap(), 300 * 6, "row, two lookups; the same");
    }

    fn what_a_process_that_died_owed_is_told_by_another(conn, place, store) {
        make_table(conn);
        let failing = Interleaved::new(store.clone());
        let (theirs, ours) = (
            Cache::builder().store(failing.clone()).build().unwrap(),
            Cache::builder().store(store).build().unwrap(),
        );
        let mut other = place.connect();
        let mut db = Session::new(&mut other, &ours);
        let id = {
            let mut dying = Session::new(conn, &theirs);
            let mut p = Stored::create().organization_id(1).slug("pump").name("v0").execute(&mut dying).unwrap();
            dying.sweep_outbox().unwrap();
            for _ in 0..2 {
                Stored::get_from_cache(&mut db, projects::id, p.id).unwrap();
            }
            // Its intent does not arrive, and it is gone before the store hears of it.
            failing.fail(|command| matches!(command, Command::Place { .. }));
            p.update().name("v1").execute(&mut dying).unwrap();
            assert_eq!(dying.cache_outcome(), CacheOutcome::Owed);
            std::mem::forget(dying);
            p.id
        };
        drop(theirs);
        assert_eq!(db.sweep_outbox().unwrap(), 3, "the row and its lookups");
        assert_eq!(Stored::get_from_cache(&mut db, projects::id, id).unwrap().name, "v1");
    }

    fn with_triggers_sql_from_outside_is_seen(conn, place, store) {
        make_table(conn);
        make_triggers(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut outside = place.connect();
        let mut db = Session::new(conn, &cache);
        let pair = (projects::organization_id, projects::name);
        let odd = "100% of a:b=c";
        for _ in 0..2 {
            assert!(Stored::get_from_cache(&mut db, projects::slug, "PUMP").optional().unwrap().is_none());
            assert!(Stored::get_from_cache(&mut db, pair, (7, odd)).optional().unwrap().is_none());
        }
        assert_eq!(cache.stats().negative_hits, 2);
        insert!(&mut outside, "Pump", odd);
        assert_eq!(db.sweep_outbox().unwrap(), 3, "the row and its two lookups");
        let p = Stored::get_from_cache(&mut db, projects::slug, "PUMP").unwrap();
        assert_eq!(Stored::get_from_cache(&mut db, pair, (7, odd)).unwrap(), p);
        for _ in 0..2 {
            assert_eq!(Stored::get_from_cache(&mut db, projects::id, p.id).unwrap().events, 0);
        }
        diesel::update(projects::table.find(p.id)).set(projects::events.eq(5)).execute(&mut outside).unwrap();
        assert_eq!(Stored::get_from_cache(&mut db, projects::id, p.id).unwrap().events, 0, "not swept yet");
        assert!(db.sweep_outbox().unwrap() > 0);
        assert_eq!(Stored::get_from_cache(&mut db, projects::id, p.id).unwrap().events, 5);
        diesel::delete(projects::table.find(p.id)).execute(&mut outside).unwrap();
        assert!(db.sweep_outbox().unwrap() > 0);
        assert!(Stored::get_from_cache(&mut db, projects::id, p.id).optional().unwrap().is_none());
    }

    fn a_sweep_that_the_store_does_not_answer_keeps_the_keys(conn, store) {
        make_table(conn);
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut p = Stored::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        db.sweep_outbox().unwrap();
        p.update().events(1).execute(&mut db).unwrap();
        store.fail(|command| matches!(command, Command::Release { .. }));
        assert!(matches!(db.sweep_outbox(), Err(Error::Cache(_))));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let swept = loop {
            match db.sweep_outbox() {
                Ok(swept) => break swept,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert_eq!(swept, 3);
        let inside: Result<usize, Error> = db.transaction(Session::sweep_outbox);
        assert!(matches!(inside, Err(Error::Query(_))));
    }

    fn two_sweeps_do_not_wait_for_each_other(conn, place, store) {
        make_table(conn);
        let store = Interleaved::new(store);
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        Stored::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        let (mut other, others_cache) = (place.connect(), cache.clone());
        let (sent, swept) = std::sync::mpsc::channel();
        // In the middle of the first sweep another one finds nothing that is free; SQLite knows one writer only.
        store.before(|command| matches!(command, Command::Release { .. }), move || {
            let mut db = Session::new(&mut other, &others_cache);
            other_sweep(&mut db, &sent);
        });
        assert_eq!(db.sweep_outbox().unwrap(), 3);
        if let Ok(swept) = swept.try_recv() {
            assert_eq!(swept, 0);
        }
    }
}

fn other_sweep<C>(db: &mut Session<'_, C>, sent: &std::sync::mpsc::Sender<usize>)
where
    C: LoadConnection,
    C::Backend: Dialect,
{
    if <C::Backend as Dialect>::CATALOG.is_some_and(|catalog| !catalog.outbox.skip_locked.is_empty()) {
        sent.send(db.sweep_outbox().unwrap()).unwrap();
    }
}

#[test]
fn a_key_whose_text_the_database_does_not_have_is_refused() {
    diesel::table! { marks (at) { at -> Timestamp, note -> Text } }
    #[derive(Queryable, Selectable, SentryModel)]
    #[diesel(table_name = marks, primary_key(at))]
    #[cache_fields()]
    struct Mark {
        at: chrono::NaiveDateTime,
        note: String,
    }
    let refused = Mark::outbox_triggers_sql(diesel::pg::Pg).unwrap_err().to_string();
    assert!(refused.contains("Mark.at") && refused.contains("invalidate"), "{refused}");
    let refused = Organization::outbox_triggers_sql(diesel::pg::Pg).unwrap_err().to_string();
    assert!(refused.contains("not cached"), "{refused}");
    let sql = Project::outbox_triggers_sql(diesel::mysql::Mysql).unwrap();
    assert!(!sql.contains("INSERT ON"), "without `negative` an insert changes nothing: {sql}");
}
