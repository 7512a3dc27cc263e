//! Lookups that match several rows, and lookups that name a partial unique index.
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::{Mysql, Place, Postgres, Schema, Sqlite};
use integration_tests::{count, test_on};
use model_runtime::prelude::*;

diesel::table! {
    labels (id) {
        id -> Integer,
        slug -> Text,
        code -> Nullable<Integer>,
        n -> Integer,
        m -> Integer,
        deleted_at -> Nullable<Integer>,
    }
}
diesel::table! { marks (id) { id -> Integer } }
diesel::allow_tables_to_appear_in_same_query!(labels, marks);

const LABELS: Schema = Schema(&[
    "CREATE TABLE labels (id {pk}, slug {key} NOT NULL, code INTEGER UNIQUE, n INTEGER NOT NULL DEFAULT 0,
        m INTEGER NOT NULL DEFAULT 0, deleted_at INTEGER)",
    "CREATE TABLE marks (id INTEGER PRIMARY KEY)",
    "INSERT INTO labels (slug, code, n, deleted_at)
        VALUES ('pump', NULL, 5, 1), ('pump', NULL, 7, NULL), ('tank', 30, 30, NULL), ('a', 40, 4, 1), ('b', 50, 5, 1)",
]);

/// How a database says that the slug is unique among the rows that are not deleted, and its isolation levels.
trait Partial: Place {
    const UNIQUE: &'static str = "CREATE UNIQUE INDEX labels_live ON labels (slug) WHERE deleted_at IS NULL";
    const LEVEL: &'static str;

    fn levels(&self) -> Vec<String> {
        let levels = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
        if Self::LEVEL.is_empty() {
            vec![String::new()]
        } else {
            levels.map(|it| Self::LEVEL.to_owned() + it).into()
        }
    }
}

impl Partial for Sqlite {
    const LEVEL: &'static str = "";
}

impl Partial for Postgres {
    const LEVEL: &'static str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL ";
}

impl Partial for Mysql {
    const UNIQUE: &'static str = "ALTER TABLE labels ADD UNIQUE (live)";
    const LEVEL: &'static str = "SET SESSION TRANSACTION ISOLATION LEVEL ";
}

/// On MySQL a generated column stands for the index's predicate.
fn unique_live<P: Partial>(place: &P, conn: &mut impl SimpleConnection) {
    if !place.returning(true, false) {
        let live = "ALTER TABLE labels ADD live VARCHAR(190) AS (IF(deleted_at IS NULL, slug, NULL)) STORED";
        conn.batch_execute(live).unwrap();
    }
    conn.batch_execute(P::UNIQUE).unwrap();
}

macro_rules! label {
    ($name:ident $($cache:tt)*) => {
        #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
        #[diesel(table_name = labels)]
        $($cache)*
        struct $name {
            #[bounded(auto)]
            id: i32,
            slug: String,
            code: Option<i32>,
            #[bounded(min = 0, max = 1000)]
            n: i32,
            m: i32,
            deleted_at: Option<i32>,
        }
    };
}

label!(Plain);
label!(Cached #[cache_fields(code)]);

type Stored = Vec<(i32, String, i32, i32, Option<i32>)>;

macro_rules! stored {
    ($db:expr) => {{
        let columns = (labels::id, labels::slug, labels::n, labels::m, labels::deleted_at);
        let stored: Stored = labels::table.select(columns).order(labels::id).load($db.connection()).unwrap();
        stored
    }};
}

/// Caches the rows of a model that is cached, or compares what is cached with what is stored.
macro_rules! assert_coherent {
    (Plain, $db:expr) => {};
    (Cached, $db:expr) => {{
        let stored = stored!($db);
        let ids: Vec<i32> = stored.iter().map(|row| row.0).collect();
        for _ in 0..2 {
            let cached =
                Cached::get_many_from_cache($db, labels::id, ids.clone()).unwrap().into_iter().flatten();
            let cached: Stored =
                cached.map(|it| (it.id, it.slug.clone(), it.n, it.m, it.deleted_at)).collect();
            assert_eq!(cached, stored);
        }
    }};
}

macro_rules! on_labels {
    ($(fn $name:ident($conn:ident, $place:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(LABELS, sqlite, sqlite, ($conn, $place), $body);
            test_on!(LABELS, postgres, postgres, ($conn, $place), $body);
            test_on!(LABELS, mysql, mysql, ($conn, $place), $body);
        }
    )* };
}

/// How many [`several!`] knows.
const WAYS: usize = 10;

/// An upsert whose lookup matches two rows.
macro_rules! several {
    ($model:ident, $db:expr, $way:expr) => {{
        let (db, pump) = ($db, || $model::create_or_update().slug("pump"));
        match $way {
            0 => pump().defaults(|d| d.m(9)).execute(db),
            1 => pump().defaults(|d| d.n(F(labels::n) + 1)).execute(db),
            // One row of two is refused, or both are.
            2 => pump().defaults(|d| d.n(F(labels::n) - 6)).execute(db),
            3 => pump().defaults(|d| d.n(F(labels::n) - 10)).execute(db),
            4 => pump().on_insert(|d| d.n(9)).execute(db),
            // On MySQL the table is joined to itself.
            5 => pump().defaults(|d| d.n(F(labels::n) - 6).m(F(labels::n))).execute(db),
            6 => pump().matching(labels::n.gt(0)).defaults(|d| d.n(F(labels::n) - 6)).execute(db),
            7 => pump().matching(labels::n.gt(0)).defaults(|d| d.m(9)).execute(db),
            // NULL is in two rows, and an expression is equal to the primary key in two.
            8 => $model::create_or_update().code(None).defaults(|d| d.n(F(labels::n) - 6)).execute(db),
            _ => $model::create_or_update().id(F(labels::n)).defaults(|d| d.m(9)).execute(db),
        }
    }};
}

macro_rules! several_are_refused {
    ($model:ident, $db:expr) => {{
        let before = stored!($db);
        for way in 0..WAYS {
            let alone = several!($model, $db, way);
            let mut inside = None;
            let done = $db.transaction(|db| {
                inside = Some(several!($model, db, way));
                Ok::<_, Error>(())
            });
            done.unwrap();
            for refused in [alone, inside.unwrap()] {
                let Err(Error::Query(text)) = &refused else { panic!("{way}: {refused:?}") };
                for part in
                    [stringify!($model), "create_or_update(", "at least 2 rows match", "`.all_matches()`"]
                {
                    assert!(text.contains(part), "{way}: {text}");
                }
            }
            assert_eq!(stored!($db), before, "{way}");
            assert_coherent!(Cached, $db);
        }
    }};
}

on_labels! {
    fn several_rows_that_match_are_an_error_and_nothing_is_written(conn, place) {
        conn.batch_execute("UPDATE labels SET n = id WHERE id > 3").unwrap();
        for level in place.levels() {
            let mut own = place.connect();
            own.batch_execute(&level).unwrap();
            let cache = Cache::memory();
            let mut db = Session::new(&mut own, &cache);
            assert_coherent!(Cached, &mut db);
            several_are_refused!(Plain, &mut db);
            several_are_refused!(Cached, &mut db);
            let several = Cached::get_or_create().slug("pump").execute(&mut db).unwrap_err().to_string();
            assert!(several.contains("at least 2 rows match") && !several.contains("all_matches"), "{several}");
        }
    }

    fn all_rows_that_match_are_updated_where_all_are_meant(conn, place) {
        let _ = place;
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        macro_rules! all_are_updated { ($model:ident) => {
            assert_coherent!($model, &mut db);
            let all = || $model::create_or_update().slug("pump").all_matches();
            let before = stored!(&mut db);
            let refused = all().defaults(|d| d.n(F(labels::n) - 7)).execute(&mut db);
            assert!(matches!(refused, Err(Error::OutOfBounds(_))), "{refused:?}");
            assert_eq!(stored!(&mut db), before);
            assert_eq!(all().execute(&mut db).unwrap(), CreateOrUpdate::Updated(2));
            let done = all().defaults(|d| d.n(F(labels::n) + 1)).execute(&mut db).unwrap();
            assert_eq!(done, CreateOrUpdate::Updated(2));
            let done = db.transaction(|db| all().defaults(|d| d.m(F(labels::m) + 1)).execute(db)).unwrap();
            assert_eq!(done, CreateOrUpdate::Updated(2));
            assert_coherent!($model, &mut db);
        } }
        all_are_updated!(Plain);
        all_are_updated!(Cached);
        let pumps = stored!(&mut db).into_iter().take(2).map(|row| (row.2, row.3)).collect::<Vec<_>>();
        assert_eq!(pumps, [(7, 2), (9, 2)]);
    }

    fn rows_of_a_subquery_are_those_that_are_invalidated(conn, place) {
        let marked = labels::id.eq_any(marks::table.select(marks::id));
        let live = || Cached::create_or_update().slug("pump").matching(marked);
        for level in place.levels() {
            conn.batch_execute("DELETE FROM marks; INSERT INTO marks VALUES (1)").unwrap();
            let mut own = place.connect();
            own.batch_execute(&level).unwrap();
            let cache = Cache::memory();
            let mut db = Session::new(&mut own, &cache);
            assert_coherent!(Cached, &mut db);
            let done = db.transaction(|db| {
                // The snapshot; what a write sees may be newer.
                let _: i64 = labels::table.count().get_result(db.connection())?;
                conn.batch_execute("DELETE FROM marks; INSERT INTO marks VALUES (2)").unwrap();
                live().defaults(|d| d.m(F(labels::m) + 1)).execute(db)
            });
            let conflict = matches!(done, Err(Error::Deadlock(_) | Error::LockTimeout(_)));
            assert!(conflict || matches!(done, Ok(CreateOrUpdate::Updated(1))), "{level}: {done:?}");
            assert_coherent!(Cached, &mut db);
            conn.batch_execute("INSERT INTO marks VALUES (1)").unwrap();
            assert!(live().defaults(|d| d.m(9)).execute(&mut db).is_err(), "two rows");
            let all = live().all_matches().defaults(|d| d.m(F(labels::m) + 1));
            assert_eq!(all.execute(&mut db).unwrap(), CreateOrUpdate::Updated(2));
            assert_coherent!(Cached, &mut db);
        }
    }

    fn a_predicate_names_the_rows_of_a_partial_unique_index(conn, place) {
        unique_live(place, conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        macro_rules! the_live_one { ($model:ident, $slug:literal) => {
            assert_coherent!($model, &mut db);
            let live = || $model::create_or_update().slug($slug).matching(labels::deleted_at.is_null());
            let counted = || live().defaults(|d| d.n(F(labels::n) + 1)).on_insert(|d| d.m(3));
            let delete = |db: &mut Session<'_, _>| {
                let lives = labels::slug.eq($slug).and(labels::deleted_at.is_null());
                $model::update_where(lives).deleted_at(2).execute(db).unwrap()
            };
            let others = |stored: Stored| stored.into_iter().filter(|row| row.4.is_some()).collect::<Stored>();
            let deleted = others(stored!(&mut db));
            let done = counted().execute(&mut db).unwrap();
            assert_eq!(done, CreateOrUpdate::Updated(1));
            assert_eq!(others(stored!(&mut db)), deleted, "rows that only share the slug are left alone");
            assert_coherent!($model, &mut db);
            assert_eq!(delete(&mut db), 1);
            let CreateOrUpdate::Created(row) = counted().execute(&mut db).unwrap() else { panic!("not created") };
            assert_eq!((row.n, row.m, row.deleted_at), (1, 3, None));
            assert_eq!(db.transaction(|db| counted().execute(db)).unwrap(), CreateOrUpdate::Updated(1));
            let get = || $model::get_or_create().slug($slug).matching(labels::deleted_at.is_null());
            let (found, created) = get().execute(&mut db).unwrap();
            assert_eq!((found.id, found.n, created), (row.id, 2, false));
            assert_eq!(delete(&mut db), 1);
            let (new, created) = db.transaction(|db| get().defaults(|d| d.m(4)).execute(db)).unwrap();
            assert_eq!((new.m, new.deleted_at, created), (4, None, true));
            assert_ne!(new.id, row.id);
            assert_coherent!($model, &mut db);
        } }
        the_live_one!(Plain, "pump");
        the_live_one!(Cached, "tank");
    }

    fn a_row_that_does_not_meet_the_predicate_is_not_inserted(conn, place) {
        unique_live(place, conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        macro_rules! refused { ($model:ident) => {
            let before = stored!(&mut db);
            let upsert = || $model::create_or_update().slug("new").matching(labels::m.eq(1)).defaults(|d| d.n(1));
            let get = || $model::get_or_create().slug("new").matching(labels::m.eq(1)).defaults(|d| d.n(1));
            let mut errors = vec![upsert().execute(&mut db).unwrap_err(), get().execute(&mut db).unwrap_err()];
            let inside = |db: &mut Session<'_, _>| {
                errors.extend([upsert().execute(db).unwrap_err(), get().execute(db).unwrap_err()]);
                Ok::<_, Error>(())
            };
            db.transaction(inside).unwrap();
            for error in errors {
                assert!(matches!(&error, Error::Query(text) if text.contains("does not meet the predicate")), "{error}");
            }
            assert_eq!(stored!(&mut db), before);
            let met = upsert().on_insert(|d| d.m(1)).execute(&mut db).unwrap();
            assert!(matches!(met, CreateOrUpdate::Created(_)));
            assert_eq!(upsert().execute(&mut db).unwrap(), CreateOrUpdate::Updated(1));
            $model::delete_where(labels::slug.eq("new")).execute(&mut db).unwrap();
        } }
        refused!(Plain);
        refused!(Cached);
    }

    fn a_lookup_that_may_match_several_costs_a_look_where_it_finds_none(conn, place) {
        unique_live(place, conn);
        let statements = count::statements(conn);
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        let mut costs = |expected: usize, upsert: &dyn Fn(&mut Session<'_, _>)| {
            statements.take();
            upsert(&mut db);
            let sent = statements.take();
            assert_eq!(sent.len(), expected, "{sent:#?}");
        };
        macro_rules! upsert { ($model:ident) => { |slug: &str, db: &mut Session<'_, _>| {
            $model::create_or_update().slug(slug).defaults(|d| d.n(F(labels::n) + 1)).execute(db).unwrap();
        } } }
        macro_rules! live { ($model:ident) => { |slug: &str, db: &mut Session<'_, _>| {
            let live = $model::create_or_update().slug(slug).matching(labels::deleted_at.is_null());
            live.defaults(|d| d.n(F(labels::n) + 1)).execute(db).unwrap();
        } } }
        // UPDATE, SELECT, INSERT.
        costs(place.returning(3, 7), &|db| upsert!(Plain)("c", db));
        costs(1, &|db| upsert!(Plain)("c", db));
        // And BEGIN, SELECT, COMMIT around the INSERT: does the row meet the predicate?
        costs(place.returning(6, 10), &|db| live!(Plain)("d", db));
        costs(1, &|db| live!(Plain)("d", db));
        // BEGIN, UPDATE, SELECT, INSERT, COMMIT.
        costs(place.returning(5, 8), &|db| upsert!(Cached)("e", db));
        costs(place.returning(3, 5), &|db| upsert!(Cached)("e", db));
        costs(place.returning(6, 9), &|db| live!(Cached)("f", db));
        costs(place.returning(3, 5), &|db| live!(Cached)("f", db));
        // The primary key needs no look.
        costs(1, &|db| {
            Plain::create_or_update().id(3).defaults(|d| d.n(F(labels::n) + 1)).execute(db).unwrap();
        });
    }
}

macro_rules! threads {
    ($model:ident, $place:ident, $store:ident) => {{
        const THREADS: i32 = 12;
        const ROUNDS: i32 = 12;
        unique_live($place, &mut $place.connect());
        let cache = Cache::builder().store($store).build().unwrap();
        let live = |slug: &'static str| {
            let live = $model::create_or_update().slug(slug).matching(labels::deleted_at.is_null());
            live.defaults(|d| d.n(F(labels::n) + 1).m(F(labels::n)))
        };
        let created: usize = std::thread::scope(|scope| {
            let upserts = || {
                let mut conn = $place.connect();
                let mut db = Session::new(&mut conn, &cache);
                let done = (0..ROUNDS).map(|_| live("b").execute(&mut db).unwrap());
                done.filter(|done| matches!(done, CreateOrUpdate::Created(_))).count()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(upserts)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(created, 1);
        let mut conn = $place.connect();
        let mut db = Session::new(&mut conn, &cache);
        let stored: Vec<_> =
            stored!(&mut db).into_iter().filter(|row| row.1 == "b").map(|row| (row.2, row.4)).collect();
        assert_eq!(stored, [(5, Some(1)), (THREADS * ROUNDS, None)]);
        assert_coherent!($model, &mut db);
    }};
}

macro_rules! on_labels_and_stores {
    ($(fn $name:ident($place:ident, $store:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(LABELS, sqlite_and_memory, sqlite, memory, (_conn, $place, $store), $body);
            test_on!(LABELS, sqlite_and_redis, sqlite, redis, (_conn, $place, $store), $body);
            test_on!(LABELS, postgres_and_memory, postgres, memory, (_conn, $place, $store), $body);
            test_on!(LABELS, postgres_and_redis, postgres, redis, (_conn, $place, $store), $body);
            test_on!(LABELS, mysql_and_memory, mysql, memory, (_conn, $place, $store), $body);
            test_on!(LABELS, mysql_and_redis, mysql, redis, (_conn, $place, $store), $body);
        }
    )* };
}

on_labels_and_stores! {
    fn twelve_threads_on_one_live_row_lose_no_increment(place, store) { threads!(Cached, place, store) }
    fn twelve_threads_on_one_live_row_that_is_not_cached(place, store) { threads!(Plain, place, store) }
}
