//! Keys come from the rows that a statement hit: under collations that take two spellings for one, renamed keys, generated
//! columns, triggers, and keys that the database assigns in its own way.
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::Schema;
use integration_tests::test_on;
use model_runtime::prelude::*;

diesel::table! { spelled (code) { code -> Text, name -> Text } }

/// A row whose key the database may find by another spelling.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = spelled, primary_key(code))]
#[cache_fields()]
struct Spelled {
    code: String,
    name: String,
}

const NOCASE: Schema = Schema(&[
    "CREATE TABLE spelled (code TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, name TEXT NOT NULL)",
    "INSERT INTO spelled VALUES ('abc', 'old')",
]);
const CITEXT: Schema = Schema(&[
    "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    "CREATE TABLE spelled (code TEXT COLLATE nocase PRIMARY KEY NOT NULL, name TEXT NOT NULL)",
    "INSERT INTO spelled VALUES ('abc', 'old')",
]);
const GENERAL_CI: Schema = Schema(&[
    "CREATE TABLE spelled (code VARCHAR(40) PRIMARY KEY, name VARCHAR(40) NOT NULL) COLLATE utf8mb4_general_ci",
    "INSERT INTO spelled VALUES ('abc', 'old')",
]);

/// One instance renames the key in case alone; another one writes by the old spelling.
macro_rules! spelled_otherwise {
    ($conn:ident, $store:ident) => {{
        let cache = Cache::builder().store($store).build().unwrap();
        let mut db = Session::new($conn, &cache);
        for way in 0..5 {
            db.connection()
                .batch_execute("DELETE FROM spelled; INSERT INTO spelled VALUES ('abc', 'old')")
                .unwrap();
            cache.clear::<Spelled>().unwrap();
            let mut one = Spelled::get_from_cache(&mut db, spelled::code, "abc").unwrap();
            let mut two = one.clone();
            one.code = "ABC".into();
            one.save(&mut db).unwrap();
            for _ in 0..2 {
                assert_eq!(Spelled::get_from_cache(&mut db, spelled::code, "ABC").unwrap().name, "old");
            }
            let written = match way {
                0 => two.update().name("new").execute(&mut db).map(usize::from),
                1 => two.update().name("new").code("xyz").execute(&mut db).map(usize::from),
                2 => two.delete(&mut db).map(usize::from),
                3 => Spelled::update_where(spelled::code.eq("abc")).name("new").execute(&mut db),
                _ => Spelled::create_or_update()
                    .code("abc")
                    .defaults(|d| d.name("new"))
                    .execute(&mut db)
                    .map(|_| 1),
            };
            assert_eq!(written.unwrap(), 1, "{way}");
            let stored: Vec<(String, String)> = spelled::table.load(db.connection()).unwrap();
            for code in ["ABC", "abc", "xyz"] {
                let found = Spelled::get_from_cache(&mut db, spelled::code, code).optional().unwrap();
                let found: Vec<_> =
                    found.into_iter().map(|row| (row.code.clone(), row.name.clone())).collect();
                let folds = |stored: &&(String, String)| stored.0.eq_ignore_ascii_case(code);
                assert_eq!(found, stored.iter().filter(folds).cloned().collect::<Vec<_>>(), "{way} {code}");
            }
        }
    }};
}

mod a_key_that_was_renamed_in_case_alone_is_invalidated {
    use super::*;

    test_on!(NOCASE, sqlite_and_memory, sqlite, memory, (conn, store), {
        spelled_otherwise!(conn, store);
    });
    test_on!(NOCASE, sqlite_and_redis, sqlite, redis, (conn, store), {
        spelled_otherwise!(conn, store);
    });
    test_on!(CITEXT, postgres_and_memory, postgres, memory, (conn, store), {
        spelled_otherwise!(conn, store);
    });
    test_on!(CITEXT, postgres_and_redis, postgres, redis, (conn, store), {
        spelled_otherwise!(conn, store);
    });
    test_on!(GENERAL_CI, mysql_and_memory, mysql, memory, (conn, store), {
        spelled_otherwise!(conn, store);
    });
    test_on!(GENERAL_CI, mysql_and_redis, mysql, redis, (conn, store), {
        spelled_otherwise!(conn, store);
    });
}

diesel::table! { slugs (id) { id -> Integer, name -> Text, slug -> Nullable<Text> } }

/// A row whose lookup the database computes.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = slugs)]
#[cache_fields(slug, negative = "1h")]
struct Article {
    #[bounded(auto)]
    id: i32,
    name: String,
    slug: Option<String>,
}

const GENERATED: Schema = Schema(&[
    "CREATE TABLE slugs (id {pk}, name {key} NOT NULL, slug {key} GENERATED ALWAYS AS (lower(name)) STORED UNIQUE)",
]);
const PLAIN: Schema = Schema(&["CREATE TABLE slugs (id {pk}, name {key} NOT NULL, slug {key} UNIQUE)"]);

/// The absence of a value ends with the write that makes the database compute it.
macro_rules! computed {
    ($conn:ident, $store:ident, $triggers:expr) => {{
        for trigger in $triggers {
            $conn.batch_execute(trigger).unwrap();
        }
        let cache = Cache::builder().store($store).build().unwrap();
        let mut db = Session::new($conn, &cache);
        let absent = |db: &mut Session<'_, _>, slug: &str| {
            for _ in 0..2 {
                assert!(
                    Article::get_from_cache(db, slugs::slug, slug).optional().unwrap().is_none(),
                    "{slug}"
                );
            }
        };
        macro_rules! there {
            ($slug:expr) => {
                assert!(Article::get_from_cache(&mut db, slugs::slug, $slug).is_ok(), "{}", $slug)
            };
        }
        absent(&mut db, "pump");
        let mut row = Article::create().name("Pump").execute(&mut db).unwrap();
        there!("pump");
        absent(&mut db, "tank");
        row.update().name("Tank").execute(&mut db).unwrap();
        there!("tank");
        absent(&mut db, "valve");
        Article::update_where(slugs::id.eq(row.id)).name("Valve").execute(&mut db).unwrap();
        there!("valve");
        absent(&mut db, "gauge");
        row.name = "Gauge".into();
        row.save(&mut db).unwrap();
        there!("gauge");
        absent(&mut db, "meter");
        Article::create_or_update().id(row.id).defaults(|d| d.name("Meter")).execute(&mut db).unwrap();
        there!("meter");
        absent(&mut db, "many");
        Article::create_many(&mut db, [Article::create().name("Many")]).unwrap();
        there!("many");
    }};
}

mod the_absence_of_what_the_database_computes_ends_with_the_write {
    use super::*;

    const NONE: [&str; 0] = [];

    test_on!(GENERATED, sqlite_generated, sqlite, memory, (conn, store), {
        computed!(conn, store, NONE);
    });
    test_on!(GENERATED, sqlite_generated_redis, sqlite, redis, (conn, store), {
        computed!(conn, store, NONE);
    });
    test_on!(GENERATED, postgres_generated, postgres, memory, (conn, store), {
        computed!(conn, store, NONE);
    });
    test_on!(GENERATED, mysql_generated, mysql, redis, (conn, store), {
        computed!(conn, store, NONE);
    });

    test_on!(PLAIN, sqlite_trigger, sqlite, memory, (conn, store), {
        computed!(
            conn,
            store,
            [
                "CREATE TRIGGER u AFTER UPDATE OF name ON slugs BEGIN UPDATE slugs SET slug = lower(NEW.name) WHERE id = NEW.id; END",
                "CREATE TRIGGER i AFTER INSERT ON slugs BEGIN UPDATE slugs SET slug = lower(NEW.name) WHERE id = NEW.id; END",
            ]
        );
    });
    test_on!(PLAIN, postgres_trigger, postgres, redis, (conn, store), {
        computed!(
            conn,
            store,
            [
                "CREATE FUNCTION slug() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               UPDATE slugs SET slug = lower(NEW.name) WHERE id = NEW.id; RETURN NULL; END $$",
                "CREATE TRIGGER slug AFTER INSERT OR UPDATE OF name ON slugs FOR EACH ROW EXECUTE FUNCTION slug()",
            ]
        );
    });
    test_on!(PLAIN, mysql_trigger, mysql, memory, (conn, store), {
        computed!(
            conn,
            store,
            [
                "CREATE TRIGGER u BEFORE UPDATE ON slugs FOR EACH ROW SET NEW.slug = lower(NEW.name)",
                "CREATE TRIGGER i BEFORE INSERT ON slugs FOR EACH ROW SET NEW.slug = lower(NEW.name)",
            ]
        );
    });
}

mod a_created_row_is_the_one_that_was_inserted {
    use super::*;

    diesel::table! { assigned (id) { id -> Integer, name -> Text } }
    diesel::table! { texts (id) { id -> Text, name -> Text } }

    #[derive(Debug, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = assigned)]
    struct Assigned {
        #[bounded(auto)]
        id: i32,
        name: String,
    }

    #[derive(Debug, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = texts)]
    struct Text {
        id: String,
        name: String,
    }

    const SEQUENCE: Schema = Schema(&[
        "CREATE SEQUENCE numbers",
        "CREATE TABLE assigned (id INTEGER PRIMARY KEY DEFAULT (NEXTVAL(numbers)), name VARCHAR(40) NOT NULL)",
        "CREATE TABLE texts (id CHAR(36) PRIMARY KEY DEFAULT (CONCAT('k', LEFT(UUID(), 30))), name VARCHAR(40) NOT NULL)",
        "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40))",
        "INSERT INTO assigned (name) VALUES ('one'), ('two')",
    ]);

    test_on!(SEQUENCE, mysql, mysql, (conn), {
        let cache = Cache::memory();
        let mut db = Session::new(conn, &cache);
        for many in [false, true] {
            // Another table's key is the last one that the database has assigned.
            db.connection().batch_execute("INSERT INTO counted (name) VALUES ('x'), ('y')").unwrap();
            let (number, text) = match many {
                false => (
                    Assigned::create().name("three").execute(&mut db).map(drop),
                    Text::create().name("three").execute(&mut db).map(drop),
                ),
                true => (
                    Assigned::create_many(&mut db, [Assigned::create().name("three")]).map(drop),
                    Text::create_many(&mut db, [Text::create().name("three")]).map(drop),
                ),
            };
            for created in [number, text] {
                let text = created.unwrap_err().to_string();
                assert!(text.contains("give the key"), "{text}");
            }
        }
        let count: i64 = assigned::table.count().get_result(db.connection()).unwrap();
        assert_eq!(count, 2, "nothing was written");
        let row = Assigned::create().id(9).name("nine").execute(&mut db).unwrap();
        assert_eq!((row.id, row.name.as_str()), (9, "nine"));
        assert_eq!(Text::create().id("k").name("k").execute(&mut db).unwrap().name, "k");
    });
}
