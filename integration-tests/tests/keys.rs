//! Promise: rows are found by keys of every kind, under names of every kind.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use chrono::{NaiveDate, NaiveDateTime};
use diesel::prelude::*;
use integration_tests::databases::{self, Schema};
use integration_tests::{stores, test_on};
use model_runtime::prelude::*;

diesel::table! {
    // Reserved words, a renamed column, a text key.
    #[sql_name = "order"]
    orders (number) {
        number -> Text,
        #[sql_name = "select"]
        choice -> Nullable<Text>,
        big -> BigInt,
    }
}

diesel::table! {
    memberships (team_id, user_name) {
        team_id -> BigInt,
        user_name -> Text,
        role -> Text,
    }
}

/// Texts as keys; two orders may have no choice, but no two have the same.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = orders, primary_key(number))]
#[cache_fields(choice, (big, choice))]
struct Order {
    number: String,
    choice: Option<String>,
    #[bounded]
    big: i64,
}

/// A key of two columns.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = memberships, primary_key(team_id, user_name))]
#[cache_fields()]
#[sane_repr(role)]
struct Membership {
    team_id: i64,
    user_name: String,
    role: String,
}

/// The same rows in another struct, under the same keys.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = memberships, primary_key(team_id, user_name))]
#[cache_fields(name = "Membership")]
struct Seat {
    team_id: i64,
    user_name: String,
    role: String,
}

diesel::table! {
    pairs (id) { id -> Integer, a -> Text, b -> Text }
}

/// One of its lookups has the field of the other, and absence is cached.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = pairs)]
#[cache_fields(a, (a, b), negative = "1h")]
struct Pair {
    #[bounded(auto)]
    id: i32,
    a: String,
    b: String,
}

diesel::table! {
    moments (at) { at -> Timestamp, seen -> Timestamp, name -> Text }
}

/// Times as keys.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = moments, primary_key(at))]
#[cache_fields(seen, negative = "1h")]
struct Moment {
    at: NaiveDateTime,
    seen: NaiveDateTime,
    name: String,
}

// MySQL quotes names in another way.
const KEYS: Schema = Schema(&[
    "CREATE TABLE {quote}order{quote} (
        number {key} PRIMARY KEY, {quote}select{quote} {key} UNIQUE, big BIGINT NOT NULL DEFAULT 0)",
    "CREATE TABLE memberships (
        team_id BIGINT NOT NULL, user_name {key} NOT NULL, role {key} NOT NULL, PRIMARY KEY (team_id, user_name))",
    "CREATE TABLE pairs (id {pk}, a {key} NOT NULL UNIQUE, b {key} NOT NULL)",
    "CREATE TABLE moments (at {timestamp} PRIMARY KEY, seen {timestamp} NOT NULL UNIQUE, name {key} NOT NULL)",
]);

/// What differs between databases here.
trait Precision {
    /// Whether times are stored to the nanosecond.
    fn keeps_nanoseconds(&self) -> bool {
        false
    }
}

impl Precision for databases::Sqlite {
    fn keeps_nanoseconds(&self) -> bool {
        true
    }
}
impl Precision for databases::Postgres {}
impl Precision for databases::Mysql {}

macro_rules! on_every_database_and_store {
    ($(fn $name:ident($conn:ident, $($rest:ident),+) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(KEYS, sqlite_and_memory, sqlite, memory, ($conn, $($rest),+), $body);
            test_on!(KEYS, postgres_and_redis, postgres, redis, ($conn, $($rest),+), $body);
            test_on!(KEYS, mysql_and_memory, mysql, memory, ($conn, $($rest),+), $body);
        }
    )* };
}

on_every_database_and_store! {
    fn text_keys_and_reserved_words(conn, store) {
        let cache = Cache::builder().store(store).namespace("shop").build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut o = Order::create().number("a:1=%").choice("tea").big(i64::MAX).execute(&mut db).unwrap();
        assert_eq!(o.number, "a:1=%");
        assert!(cache.row_key::<Order>(&o).starts_with("shop:modelcache:Order:"));
        for _ in 0..2 {
            assert_eq!(Order::get_from_cache(&mut db, orders::number, "a:1=%").unwrap(), o);
            assert_eq!(Order::get_from_cache(&mut db, orders::choice, "tea").unwrap(), o);
        }
        assert_eq!(cache.stats().hits, 2);
        assert!(o.update().big(F(orders::big) - 1).choice("milk").execute(&mut db).unwrap());
        assert_eq!(Order::get_from_cache(&mut db, orders::choice, "milk").unwrap().big, i64::MAX - 1);
        assert!(Order::get_from_cache(&mut db, orders::choice, "tea").optional().unwrap().is_none());
        assert!(matches!(o.update().big(F(orders::big) + 2).execute(&mut db), Err(Error::OutOfBounds(_))));
        assert!(o.delete(&mut db).unwrap());
        assert!(Order::get_from_cache(&mut db, orders::number, "a:1=%").optional().unwrap().is_none());
    }

    fn structs_of_one_name_share_their_keys(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut m = Membership::create().team_id(1).user_name("Anna").role("user").execute(&mut db).unwrap();
        let key = (memberships::team_id, memberships::user_name);
        let mut r = Seat::get_from_cache(&mut db, key, (1, "Anna")).unwrap();
        assert_eq!(cache.row_key::<Seat>(&r), cache.row_key::<Membership>(&m));
        assert_eq!(Membership::get_from_cache(&mut db, key, (1, "Anna")).unwrap(), m);
        assert_eq!((cache.stats().misses, cache.stats().hits), (1, 1), "the one filled what the other reads");
        assert!(r.update().role("admin").execute(&mut db).unwrap());
        assert_eq!(Membership::get_from_cache(&mut db, key, (1, "Anna")).unwrap().role, "admin");
        assert!(m.update().role("guest").execute(&mut db).unwrap());
        assert_eq!(Seat::get_from_cache(&mut db, key, (1, "Anna")).unwrap().role, "guest");
        assert_eq!(cache.clear::<Membership>().unwrap(), 1);
    }

    fn null_is_never_the_text_none(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let null = Order::create().number("1").big(7).execute(&mut db).unwrap();
        for text in ["None", "", "NULL"] {
            Order::create().number(format!("of {text:?}")).choice(text).execute(&mut db).unwrap();
            for _ in 0..3 {
                let found = Order::get_from_cache(&mut db, orders::choice, text).unwrap();
                assert_eq!(found.choice.as_deref(), Some(text));
                assert_eq!(Order::get_from_cache(&mut db, orders::choice, None::<String>).unwrap(), null);
                let pair = (orders::big, orders::choice);
                assert_eq!(Order::get_from_cache(&mut db, pair, (7, None::<String>)).unwrap(), null);
            }
        }
        let many = Order::get_many_from_cache(&mut db, orders::choice, [None, Some(String::new()), Some("x".into())]);
        let numbers: Vec<_> = many.unwrap().into_iter().map(|row| row.map(|row| row.number.clone())).collect();
        assert_eq!(numbers, [Some("1".to_owned()), Some("of \"\"".to_owned()), None]);
        // Any number of rows may hold NULL: that is no lookup of one.
        Order::create().number("2").execute(&mut db).unwrap();
        let error = Order::get_from_cache(&mut db, orders::choice, None::<String>).unwrap_err();
        assert!(error.to_string().contains("2 rows match NULL in choice"), "{error}");
        let gone = Order::get_from_cache(&mut db, (orders::big, orders::choice), (9, None::<String>)).unwrap_err();
        assert!(gone.to_string().contains("NULL in big, choice"), "{gone}");
    }

    fn what_a_text_contains_is_never_the_key_of_several_fields(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        Pair::create().a("x").b("y").execute(&mut db).unwrap();
        for text in ["x:b=y", "x%3Ab=y", ":a=x:b=y", ""] {
            // Each absence is remembered.
            for _ in 0..2 {
                assert!(Pair::get_from_cache(&mut db, pairs::a, text).optional().unwrap().is_none());
            }
            let row = Pair::get_from_cache(&mut db, (pairs::a, pairs::b), ("x", "y")).optional().unwrap();
            assert_eq!(row.map(|row| row.b.clone()).as_deref(), Some("y"), "{text}");
        }
        assert!(cache.stats().negative_hits >= 4);
    }

    fn a_row_that_became_null_is_not_the_empty_text(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut row = Order::create().number("1").choice("").execute(&mut db).unwrap();
        for _ in 0..2 {
            Order::get_from_cache(&mut db, orders::choice, "").unwrap();
        }
        // Behind the cache's back, so that the pointer stays; then the row is cached anew.
        let mut outside = place.connect();
        diesel::update(orders::table).set(orders::choice.eq(None::<String>)).execute(&mut outside).unwrap();
        row.update().big(1).execute(&mut db).unwrap();
        assert_eq!(Order::get_from_cache(&mut db, orders::number, "1").unwrap().choice, None);
        for _ in 0..2 {
            assert!(Order::get_from_cache(&mut db, orders::choice, "").optional().unwrap().is_none());
            let many = Order::get_many_from_cache(&mut db, orders::choice, [Some(String::new()), Some("x".into())]);
            assert_eq!(many.unwrap(), [None, None]);
        }
    }

    fn times_are_keys_as_the_database_stores_them(conn, place, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let at = |nanosecond| NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().and_hms_nano_opt(0, 0, 0, nanosecond).unwrap();
        // SQLite keeps nanoseconds, the others cut them off.
        let kept = |nanosecond| if place.keeps_nanoseconds() { nanosecond } else { nanosecond / 1000 * 1000 };
        let rows = [(1_001, "one"), (3_002, "two")];
        for (nanosecond, name) in rows {
            for _ in 0..2 {
                assert!(Moment::get_from_cache(&mut db, moments::at, at(nanosecond)).optional().unwrap().is_none());
                assert!(Moment::get_from_cache(&mut db, moments::seen, at(nanosecond)).optional().unwrap().is_none());
            }
            let made = Moment::create().at(at(nanosecond)).seen(at(nanosecond)).name(name).execute(&mut db).unwrap();
            assert_eq!(made.at, at(kept(nanosecond)));
        }
        assert_eq!(cache.stats().negative_hits, 4);
        let names = |found: Vec<Option<Tracked<Moment>>>| {
            found.into_iter().map(|row| row.map(|row| row.name.clone())).collect::<Vec<_>>()
        };
        let expected = |nanosecond| {
            let row = rows.iter().find(|(stored, _)| kept(*stored) == kept(nanosecond));
            row.map(|(_, name)| (*name).to_owned())
        };
        // Own writes and others' are seen under each spelling, and no time stands for another.
        for nanosecond in [1_001, 1_000, 1_002, 3_002, 3_003] {
            for _ in 0..3 {
                let by_key = Moment::get_from_cache(&mut db, moments::at, at(nanosecond)).optional().unwrap();
                let by_field = Moment::get_from_cache(&mut db, moments::seen, at(nanosecond)).optional().unwrap();
                let found = names(vec![by_key, by_field]);
                assert_eq!(found, [expected(nanosecond), expected(nanosecond)], "{nanosecond}");
            }
        }
        let many = Moment::get_many_from_cache(&mut db, moments::at, [at(3_002), at(1_001)]).unwrap();
        assert_eq!(names(many), [Some("two".to_owned()), Some("one".to_owned())]);
        // What a write names is what a reader asks for, although memory had more digits.
        let mut row = Moment::get_from_cache(&mut db, moments::at, at(1_001)).unwrap();
        row.update().at(at(7_007)).execute(&mut db).unwrap();
        assert_eq!(row.at, at(kept(7_007)));
        for _ in 0..2 {
            Moment::get_from_cache(&mut db, moments::at, at(7_007)).unwrap();
        }
        row.update().name("moved").execute(&mut db).unwrap();
        assert_eq!(Moment::get_from_cache(&mut db, moments::at, at(7_007)).unwrap().name, "moved");
        Moment::invalidate(&mut db, moments::at, [at(7_007)]).unwrap();
        let misses = cache.stats().misses;
        Moment::get_from_cache(&mut db, moments::at, at(7_007)).unwrap();
        assert_eq!(cache.stats().misses, misses + 1);
    }

    fn no_time_panics(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        // Some of them are beyond what the database stores: then it says so.
        for at in [NaiveDateTime::MIN, NaiveDateTime::MAX, NaiveDate::MIN.and_hms_opt(23, 59, 59).unwrap()] {
            for _ in 0..2 {
                let found = Moment::get_from_cache(&mut db, moments::at, at);
                assert!(found.is_err(), "{found:?}");
                let found = Moment::get_many_from_cache(&mut db, moments::seen, [at, at]);
                assert!(!matches!(&found, Ok(rows) if rows.iter().any(Option::is_some)), "{found:?}");
            }
        }
    }

    fn a_key_of_two_columns(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let columns = (memberships::team_id, memberships::user_name);
        let mut m = Membership::create().team_id(1).user_name("jane").role("admin").execute(&mut db).unwrap();
        let other = Membership::create().team_id(2).user_name("jane").role("guest").execute(&mut db).unwrap();
        assert_eq!(m.repr(), r#"<Membership: team_id=1, user_name="jane", role="admin">"#);
        for _ in 0..2 {
            assert_eq!(Membership::get_from_cache(&mut db, columns, (1, "jane")).unwrap(), m);
        }
        assert_eq!(cache.stats().hits, 1);
        m.role = "owner".into();
        m.save(&mut db).unwrap();
        assert!(m.update().role("reader").execute(&mut db).unwrap());
        assert_eq!(Membership::get_from_cache(&mut db, columns, (1, "jane")).unwrap().role, "reader");
        assert_eq!(Membership::get_from_cache(&mut db, columns, (2, "jane")).unwrap(), other);
        let done = Membership::create_or_update()
            .team_id(2)
            .user_name("jane")
            .defaults(|d| d.role("member"))
            .execute(&mut db)
            .unwrap();
        assert_eq!(done, CreateOrUpdate::Updated(1));
        assert_eq!(Membership::get_from_cache(&mut db, columns, (2, "jane")).unwrap().role, "member");
        let many = Membership::get_many_from_cache(&mut db, columns, [(2, "jane"), (3, "jane"), (1, "jane")]).unwrap();
        assert_eq!(many.iter().flatten().map(|row| row.team_id).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(Membership::delete_where(memberships::user_name.eq("jane")).execute(&mut db).unwrap(), 2);
        assert!(Membership::get_from_cache(&mut db, columns, (1, "jane")).optional().unwrap().is_none());
        // The key moves, both columns of it.
        let mut moved = Membership::create().team_id(5).user_name("a").role("r").execute(&mut db).unwrap();
        Membership::get_from_cache(&mut db, columns, (5, "a")).unwrap();
        assert!(moved.update().team_id(6).user_name("b").execute(&mut db).unwrap());
        assert!(Membership::get_from_cache(&mut db, columns, (5, "a")).optional().unwrap().is_none());
        assert_eq!(Membership::get_from_cache(&mut db, columns, (6, "b")).unwrap(), moved);
    }
}

mod uuids {
    use super::*;
    use uuid::Uuid;

    diesel::table! {
        devices (id) { id -> Uuid, owner -> Uuid, name -> Text }
    }

    /// PostgreSQL has the type.
    #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = devices)]
    #[cache_fields(owner)]
    struct Device {
        #[default(Uuid::from_u128(9))]
        id: Uuid,
        owner: Uuid,
        name: String,
    }

    const DEVICES: Schema = Schema(&[
        "CREATE TABLE devices (id UUID PRIMARY KEY, owner UUID NOT NULL UNIQUE, name TEXT NOT NULL)",
    ]);

    #[test]
    fn uuids_are_keys_on_postgres() {
        let place = databases::postgres(DEVICES);
        let (mut conn, cache) = (place.connect(), Cache::builder().store(stores::redis()).build().unwrap());
        let mut db = Session::new(&mut conn, &cache);
        let (id, owner) = (Uuid::from_u128(9), Uuid::from_u128(u128::MAX));
        let mut d = Device::create().owner(owner).name("a").execute(&mut db).unwrap();
        assert_eq!(d.id, id, "the default");
        for _ in 0..2 {
            assert_eq!(Device::get_from_cache(&mut db, devices::id, id).unwrap(), d);
            assert_eq!(Device::get_from_cache(&mut db, devices::owner, owner).unwrap(), d);
        }
        assert_eq!(cache.stats().hits, 2);
        assert!(d.update().name("b").execute(&mut db).unwrap());
        assert_eq!(Device::get_from_cache(&mut db, devices::owner, owner).unwrap().name, "b");
    }
}

mod zones {
    use super::*;
    use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

    const STAMPS: Schema =
        Schema(&["CREATE TABLE stamps (id {pk}, at {timestamp} NOT NULL UNIQUE, gone {timestamp})"]);
    const ZONED: Schema =
        Schema(&["CREATE TABLE stamps (id {pk}, at TIMESTAMPTZ NOT NULL UNIQUE, gone TIMESTAMPTZ)"]);

    /// A time of which the date in UTC is not the one that is written.
    fn at(year: i32, (month, day): (Month, u8), hours: i8) -> OffsetDateTime {
        let date = Date::from_calendar_date(year, month, day).unwrap();
        let time = if hours < 0 { Time::from_hms(23, 59, 59).unwrap() } else { Time::MIDNIGHT };
        PrimitiveDateTime::new(date, time).assume_offset(UtcOffset::from_hms(hours, 0, 0).unwrap())
    }

    macro_rules! on {
        ($database:ident, $schema:expr, $store:ident, $sql_type:ty) => {
            mod $database {
                use super::*;

                diesel::table! {
                    stamps (id) { id -> Integer, at -> $sql_type, gone -> Nullable<$sql_type> }
                }

                #[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
                #[diesel(table_name = stamps)]
                #[cache_fields(at, negative = "1h")]
                struct Stamp {
                    #[bounded(auto)]
                    id: i32,
                    at: OffsetDateTime,
                    gone: Option<OffsetDateTime>,
                }

                #[test]
                fn a_time_without_a_date_in_utc_is_refused() {
                    let place = databases::$database($schema);
                    let (mut conn, cache) =
                        (place.connect(), Cache::builder().store(stores::$store()).build().unwrap());
                    let mut db = Session::new(&mut conn, &cache);
                    for beyond in [at(9999, (Month::December, 31), -5), at(-9999, (Month::January, 1), 5)] {
                        let found = Stamp::get_from_cache(&mut db, stamps::at, beyond).unwrap_err();
                        assert!(
                            matches!(&found, Error::InvalidValue { model: "Stamp", field: "at", .. }),
                            "{found}"
                        );
                        assert!(found.to_string().contains("9999"), "{found}");
                        assert!(Stamp::get_many_from_cache(&mut db, stamps::at, [beyond, beyond]).is_err());
                        let now = at(2026, (Month::May, 1), 3);
                        assert!(Stamp::create().at(beyond).execute(&mut db).is_err());
                        assert!(Stamp::create().at(now).gone(beyond).execute(&mut db).is_err());
                    }
                    // One time is one key, whatever zone it is written in.
                    let made = Stamp::create().at(at(2026, (Month::May, 1), 3)).execute(&mut db).unwrap();
                    for hours in [-3, 3, 0] {
                        let same = made.at.to_offset(UtcOffset::from_hms(hours, 0, 0).unwrap());
                        assert_eq!(Stamp::get_from_cache(&mut db, stamps::at, same).unwrap(), made);
                    }
                    assert_eq!(cache.stats().hits, 1, "the first lookup points, the second fills");
                }
            }
        };
    }

    on!(sqlite, STAMPS, memory, TimestamptzSqlite);
    on!(postgres, ZONED, redis, Timestamptz);
    on!(mysql, STAMPS, memory, Datetime);
}
