//! Promise: `verify_schema` finds what is wrong with a live table and nothing else, and `migration_sql` mends it.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use integration_tests::databases::{self, Schema};
use integration_tests::models::Project;
use integration_tests::{count, on_every_database, test_on};
use model_runtime::prelude::*;
use model_runtime::{SchemaProblem, SchemaProblemKind};

diesel::table! {
    #[sql_name = "order"]
    orders (id) {
        id -> Integer,
        slug -> Text,
        #[sql_name = "select"]
        choice -> Nullable<Text>,
        small -> SmallInt,
        hits -> Integer,
        spare -> Nullable<BigInt>,
        seen -> Timestamp,
        ratio -> Double,
        active -> Bool,
        data -> Binary,
    }
}

/// A model that wants something of every kind.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = orders)]
#[cache_fields(slug, (hits, choice))]
struct Order {
    #[bounded(auto)]
    id: i32,
    slug: String,
    choice: Option<String>,
    #[bounded(min = -10, max = 10)]
    small: i16,
    #[bounded(positive)]
    hits: i32,
    #[bounded(max = 1000)]
    spare: Option<i64>,
    seen: chrono::NaiveDateTime,
    ratio: f64,
    active: bool,
    data: Vec<u8>,
}

const FINE: Schema = Schema(&[
    "CREATE TABLE {quote}order{quote} (
        id {pk}, slug {key} NOT NULL UNIQUE, {quote}select{quote} {key}, small SMALLINT NOT NULL, hits INTEGER NOT NULL,
        spare BIGINT, seen {timestamp} NOT NULL, ratio {double} NOT NULL, active BOOLEAN NOT NULL, data {binary} NOT NULL,
        not_of_the_model INTEGER, CHECK (small >= -10 AND small < 11), CHECK (hits BETWEEN 0 AND 2147483647),
        CONSTRAINT spare_is_small CHECK (spare IS NULL OR (1000 >= spare AND spare > -9223372036854775807)),
        UNIQUE (hits, {quote}select{quote}))",
    "CREATE TABLE neighbour (id {pk}, slug {key} NOT NULL UNIQUE, hits INTEGER NOT NULL)",
]);

const BARE: Schema = Schema(&[
    "CREATE TABLE {quote}order{quote} (
        id {pk}, slug {key} NOT NULL, {quote}select{quote} {key}, small SMALLINT NOT NULL, hits INTEGER NOT NULL,
        spare BIGINT, seen {timestamp} NOT NULL, ratio {double} NOT NULL, active BOOLEAN NOT NULL, data {binary} NOT NULL)",
    // What stands beside does not help.
    "CREATE INDEX order_slug ON {quote}order{quote} (slug)",
    "CREATE UNIQUE INDEX order_both ON {quote}order{quote} (slug, hits)",
    "CREATE TABLE neighbour (id {pk}, slug {key} NOT NULL UNIQUE, hits INTEGER NOT NULL CHECK (hits >= 0))",
]);

const WRONG: Schema = Schema(&["CREATE TABLE {quote}order{quote} (
        id INTEGER NOT NULL, slug INTEGER NOT NULL UNIQUE, {quote}select{quote} {key} NOT NULL, small SMALLINT NOT NULL,
        hits INTEGER, spare {key}, ratio {key} NOT NULL, active BOOLEAN NOT NULL, data {binary} NOT NULL,
        CHECK (small >= -10 OR active), CHECK (hits > 0 AND hits < 10), UNIQUE (hits, {quote}select{quote}))"]);

/// The kinds of problems with what each is about, sorted.
fn kinds(problems: &[SchemaProblem]) -> Vec<String> {
    let mut kinds: Vec<_> =
        problems.iter().map(|problem| format!("{:?} {}", problem.kind(), problem.subject())).collect();
    kinds.sort();
    kinds
}

/// One test per database on a schema of its own.
macro_rules! on_every_database_with {
    ($schema:ident, $name:ident, ($conn:ident $(, $place:ident)?), $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            test_on!($schema, sqlite, sqlite, ($conn $(, $place)?), $body);
            test_on!($schema, postgres, postgres, ($conn $(, $place)?), $body);
            test_on!($schema, mysql, mysql, ($conn $(, $place)?), $body);
        }
    };
}

on_every_database_with!(FINE, a_table_in_order_has_no_problem, (conn), {
    let statements = count::statements(conn);
    let cache = Cache::memory();
    let mut db = Session::new(conn, &cache);
    let problems = Order::verify_schema(&mut db).unwrap();
    assert_eq!(problems, [], "{problems:#?}");
    assert_eq!(statements.take().len(), 3);
    assert_eq!(cache.stats().round_trips, 0);
});

on_every_database_with!(WRONG, everything_wrong_is_listed_with_its_remedy, (conn), {
    let cache = Cache::memory();
    let mut db = Session::new(conn, &cache);
    let problems = Order::verify_schema(&mut db).unwrap();
    let expected = [
        "MissingColumn seen",
        "NoCheck small",
        "NoCheck spare",
        "NoUniqueIndex id",
        "Nullability hits",
        "Nullability select",
        "Type ratio",
        "Type slug",
        "Type spare",
    ];
    assert_eq!(kinds(&problems), expected, "{problems:#?}");
    for problem in &problems {
        let text = problem.to_string();
        assert!(text.starts_with("Order: ") && text.ends_with(problem.remedy()), "{text}");
        assert!(!problem.remedy().is_empty() && problem.model() == "Order");
    }
});

on_every_database_with!(BARE, what_migration_sql_prints_mends_the_table, (conn), {
    let cache = Cache::memory();
    let before = Order::verify_schema(&mut Session::new(conn, &cache)).unwrap();
    let expected = [
        "NoCheck hits",
        "NoCheck small",
        "NoCheck spare",
        "NoUniqueIndex hits, select",
        "NoUniqueIndex slug",
    ];
    assert_eq!(kinds(&before), expected, "{before:#?}");
    let sql = migration(conn);
    conn.batch_execute(&sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let after = Order::verify_schema(&mut Session::new(conn, &cache)).unwrap();
    assert_eq!(after, [], "{after:#?}\n{sql}");
    // The database keeps the bounds now, whoever writes.
    let row = (orders::slug.eq("a"), orders::small.eq(11_i16), orders::hits.eq(1));
    let rest =
        (orders::seen.eq(chrono::NaiveDateTime::default()), orders::ratio.eq(1.0), orders::active.eq(true));
    let refused =
        diesel::insert_into(orders::table).values((row, rest, orders::data.eq(vec![1_u8]))).execute(conn);
    assert!(refused.is_err(), "{refused:?}");
    let row = (orders::slug.eq("a"), orders::small.eq(10_i16), orders::hits.eq(1));
    diesel::insert_into(orders::table)
        .values((row, rest, orders::data.eq(vec![1_u8])))
        .execute(conn)
        .unwrap();
    assert!(diesel::update(orders::table).set(orders::hits.eq(-1)).execute(conn).is_err());
});

/// What `migration_sql` prints for the backend of the connection.
fn migration<C>(_conn: &mut C) -> String
where
    C: Connection<Backend: model_runtime::Dialect + Default>,
    Order: model_runtime::ModelSql<C::Backend>,
{
    Order::migration_sql(C::Backend::default()).unwrap()
}

on_every_database! {
    fn a_missing_table_is_one_problem(conn) {
        let cache = Cache::memory();
        let problems = Order::verify_schema(&mut Session::new(conn, &cache)).unwrap();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!(problems[0].kind(), SchemaProblemKind::MissingTable);
    }

    fn the_table_of_the_contract_lacks_its_check_alone(conn) {
        let cache = Cache::memory();
        let problems = Project::verify_schema(&mut Session::new(conn, &cache)).unwrap();
        assert_eq!(kinds(&problems), ["NoCheck events"], "{problems:#?}");
    }
}

#[test]
fn timestamps_keep_microseconds() {
    let cache = Cache::memory();
    let postgres = databases::postgres(FINE);
    let mut conn = postgres.connect();
    conn.batch_execute("ALTER TABLE \"order\" ALTER seen TYPE timestamp(3)").unwrap();
    let problems = Order::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap();
    assert_eq!(kinds(&problems), ["NoMicroseconds seen"], "{problems:#?}");
    let mysql = databases::mysql(FINE);
    let mut conn = mysql.connect();
    for column in ["DATETIME", "TIMESTAMP(3)"] {
        conn.batch_execute(&format!("ALTER TABLE `order` MODIFY seen {column} NOT NULL")).unwrap();
        let problems = Order::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap();
        assert_eq!(kinds(&problems), ["NoMicroseconds seen"], "{problems:#?}");
        assert!(problems[0].remedy().contains("(6)"));
    }
}

#[test]
fn an_unsigned_column_does_not_hold_a_signed_field() {
    let (cache, mysql) = (Cache::memory(), databases::mysql(FINE));
    let mut conn = mysql.connect();
    conn.batch_execute("ALTER TABLE `order` MODIFY ratio FLOAT NOT NULL, MODIFY spare BIGINT UNSIGNED")
        .unwrap();
    let problems = Order::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap();
    assert_eq!(kinds(&problems), ["Type ratio", "Type spare"], "{problems:#?}");
}

#[test]
fn an_index_that_is_not_for_all_rows_makes_nothing_unique() {
    let cache = Cache::memory();
    let postgres = databases::postgres(BARE);
    let mut conn = postgres.connect();
    conn.batch_execute("CREATE UNIQUE INDEX partly ON \"order\" (slug) WHERE hits > 0").unwrap();
    let problems = Order::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap();
    assert!(kinds(&problems).contains(&"NoUniqueIndex slug".to_owned()), "{problems:#?}");
    // A narrower key is more than enough for the pair.
    conn.batch_execute("CREATE UNIQUE INDEX one ON \"order\" (hits)").unwrap();
    let problems = Order::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap();
    assert!(!kinds(&problems).iter().any(|kind| kind.contains("select")), "{problems:#?}");
}

diesel::table! { users (id) { id -> Integer, username -> Text } }

/// Looked up in a normal form.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
#[cache_fields(username(iexact))]
struct User {
    id: i32,
    username: String,
}

const USERS: Schema = Schema(&["CREATE TABLE users (id {pk}, username {key} NOT NULL UNIQUE)"]);

#[test]
fn a_normal_form_needs_an_index_on_itself() {
    let cache = Cache::memory();
    let sqlite = databases::sqlite(USERS);
    let mut conn = sqlite.connect();
    let problems = User::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap();
    assert_eq!(kinds(&problems), ["NoUniqueIndex LOWER(username)"], "{problems:#?}");
    conn.batch_execute(&User::migration_sql(diesel::sqlite::Sqlite).unwrap()).unwrap();
    assert_eq!(User::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap(), []);

    let postgres = databases::postgres(USERS);
    let mut conn = postgres.connect();
    conn.batch_execute(&User::migration_sql(diesel::pg::Pg).unwrap()).unwrap();
    assert_eq!(User::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap(), []);

    let mysql = databases::mysql(USERS);
    let mut conn = mysql.connect();
    let folded = "ALTER TABLE users ADD folded VARCHAR(190) AS (LOWER(username)), ADD UNIQUE (folded)";
    conn.batch_execute(folded).unwrap();
    assert_eq!(User::verify_schema(&mut Session::new(&mut conn, &cache)).unwrap(), []);
}

#[tokio::test]
async fn the_async_session_verifies_too() {
    use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
    let place = databases::postgres(WRONG);
    let (url, setup) = place.url_and_setup();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.batch_execute(&setup).await.unwrap();
    let cache = Cache::memory();
    let problems = Order::verify_schema(&mut AsyncSession::new(&mut conn, &cache)).await.unwrap();
    assert_eq!(problems.len(), 9, "{problems:#?}");
}
