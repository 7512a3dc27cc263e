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

fn make_triggers<M, C: LoadConnection + SimpleConnection>(conn: &mut C)
where
    C::Backend: Dialect + Default,
    M: ModelSql<C::Backend>,
{
    conn.batch_execute(&M::outbox_triggers_sql(C::Backend::default()).unwrap()).unwrap();
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
        make_triggers::<Stored, _>(conn);
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

/// Keys that triggers make of odd texts.
mod texts {
    #![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
    use super::*;
    use integration_tests::databases::{self, Schema};
    use integration_tests::{stores, test_on};

    diesel::table! {
        tags (code) { code -> Text, name -> Text, size -> Nullable<Integer>, serial -> Integer }
    }

    #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = tags, primary_key(code))]
    #[cache_fields(serial, name(iexact), (name(iexact), size), negative = "1h")]
    struct Tag {
        code: String,
        name: String,
        size: Option<i32>,
        serial: i32,
    }

    const SQLITE: Schema = Schema(&[
        "CREATE TABLE tags (code CHAR(6) PRIMARY KEY, name TEXT NOT NULL, size INTEGER, serial INTEGER NOT NULL)",
    ]);
    /// In whose locale I is no capital of i.
    const TURKISH: Schema = Schema(&["CREATE TABLE tags (code CHAR(6) PRIMARY KEY,
        name TEXT COLLATE \"tr-x-icu\" NOT NULL, size INTEGER, serial INTEGER NOT NULL)"]);
    /// The database's own character set has few letters.
    const LATIN_1: Schema = Schema(&[
        "ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_swedish_ci",
        "CREATE TABLE tags (code CHAR(6) PRIMARY KEY, name VARCHAR(90) NOT NULL, size INTEGER, serial INTEGER NOT NULL)
        CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    ]);

    const NAMES: [&str; 9] = [
        "Arger",
        "Ärger",
        "TITLE",
        "İSTANBUL",
        "ıi",
        "A:b=C%3A",
        "STRASSE ẞ",
        "\u{212a}elvin",
        "名前 \u{1f600} Z",
    ];

    macro_rules! on_every_database {
        ($(fn $name:ident($conn:ident) $body:block)*) => { $(
            mod $name {
                use super::*;

                test_on!(SQLITE, sqlite, sqlite, ($conn), $body);
                test_on!(TURKISH, postgres, postgres, ($conn), $body);
                test_on!(LATIN_1, mysql, mysql, ($conn), $body);
            }
        )* };
    }

    on_every_database! {
        fn a_trigger_tells_the_keys_that_a_session_asks_for(conn) {
            make_table(conn);
            make_triggers::<Tag, _>(conn);
            let cache = Cache::builder().store(stores::memory()).build().unwrap();
            let mut db = Session::new(conn, &cache);
            for (serial, name) in (1..).zip(NAMES) {
                // Whether each lookup finds a row; asked twice, so that absence is known.
                macro_rules! found {
                    () => {{
                        let lookup = Tag::get_from_cache(&mut db, tags::name, name).optional().unwrap();
                        let pair = Tag::get_from_cache(&mut db, (tags::name, tags::size), (name, 7)).optional();
                        let code = Tag::get_from_cache(&mut db, tags::code, "abc").optional().unwrap();
                        (lookup.is_some(), pair.unwrap().is_some(), code.is_some())
                    }};
                }
                assert_eq!((found!(), found!()), ((false, false, false), (false, false, false)), "{name}");
                let known = cache.stats().negative_hits;
                let row = (tags::code.eq("abc"), tags::name.eq(name), tags::size.eq(7), tags::serial.eq(serial));
                diesel::insert_into(tags::table).values(row).execute(db.connection()).unwrap();
                assert!(db.sweep_outbox().unwrap() >= 4, "{name}");
                let (_, _, by_code) = found!();
                assert!(by_code, "{name}");
                assert_eq!(cache.stats().negative_hits, known, "{name}: it is not known as absent any more");
                // Cached under the key as it is read.
                for _ in 0..3 {
                    assert_eq!(Tag::get_from_cache(&mut db, tags::serial, serial).unwrap().size, Some(7));
                }
                diesel::update(tags::table).set(tags::size.eq(None::<i32>)).execute(db.connection()).unwrap();
                assert!(db.sweep_outbox().unwrap() > 0);
                for _ in 0..3 {
                    assert_eq!(Tag::get_from_cache(&mut db, tags::serial, serial).unwrap().size, None, "{name}");
                }
                diesel::delete(tags::table).execute(db.connection()).unwrap();
                assert!(db.sweep_outbox().unwrap() > 0);
                assert!(Tag::get_from_cache(&mut db, tags::serial, serial).optional().unwrap().is_none());
            }
            assert!(cache.stats().hits >= 9);
        }
    }

    const UNIQUE: Schema = Schema(&[
        "CREATE TABLE tags (code TEXT PRIMARY KEY, name TEXT NOT NULL, size INTEGER,
        serial INTEGER NOT NULL UNIQUE, UNIQUE (name, size))",
        "CREATE UNIQUE INDEX tags_name ON tags (LOWER(name))",
    ]);

    #[test]
    fn what_sqlite_replaces_is_told() {
        let place = databases::sqlite(UNIQUE);
        let (mut conn, cache) = (place.connect(), Cache::builder().store(stores::redis()).build().unwrap());
        make_table(&mut conn);
        make_triggers::<Tag, _>(&mut conn);
        let mut outside = place.connect();
        let mut db = Session::new(&mut conn, &cache);
        let mut run = |sql: &str| outside.batch_execute(sql).unwrap();
        let told = |db: &mut Session<'_, SqliteConnection>, what: &str| {
            // Whatever is cached is compared with the table after a sweep.
            db.sweep_outbox().unwrap();
            let stored: Vec<Tracked<Tag>> =
                tags::table.select(Tracked::as_select()).load(db.connection()).unwrap();
            for code in ["a", "b", "c", "d"] {
                let found = Tag::get_from_cache(db, tags::code, code).optional().unwrap();
                assert_eq!(found.as_ref(), stored.iter().find(|row| row.code == code), "{what}: {code}");
            }
        };
        run("INSERT INTO tags VALUES ('a', 'Anna', 1, 1), ('b', 'Berta', 2, 2), ('c', 'Carl', 3, 3)");
        for sql in [
            "UPDATE tags SET size = size + 10",
            "REPLACE INTO tags VALUES ('a', 'Anna', 5, 1)",
            "INSERT OR REPLACE INTO tags VALUES ('d', 'BERTA', 6, 4)",
            "UPDATE OR REPLACE tags SET name = 'ANNA' WHERE code = 'c'",
            "UPDATE OR REPLACE tags SET code = 'd' WHERE code = 'c'",
            "REPLACE INTO tags VALUES ('a', 'Alf', 6, 3)",
            "INSERT INTO tags VALUES ('d', 'Dora', 7, 5) ON CONFLICT DO UPDATE SET size = excluded.size",
            "INSERT INTO tags VALUES ('d', 'Dora', 8, 5) ON CONFLICT DO UPDATE SET size = excluded.size",
            "INSERT OR IGNORE INTO tags VALUES ('d', 'Emil', 7, 6)",
        ] {
            for _ in 0..2 {
                told(&mut db, "before");
            }
            assert!(cache.stats().hits > 0);
            run(sql);
            told(&mut db, sql);
        }
        // A write that replaces nothing stores no more than the keys of its row.
        run("INSERT INTO tags VALUES ('b', 'new', 8, 8)");
        assert_eq!(db.sweep_outbox().unwrap(), 4, "the row and its three lookups");
        run("UPDATE tags SET size = 9 WHERE code = 'b'");
        assert_eq!(db.sweep_outbox().unwrap(), 5, "the row before, and all of its keys after");
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
