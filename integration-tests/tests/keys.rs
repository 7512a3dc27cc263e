//! Promise: rows are found by keys of every kind, under names of every kind.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
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

// MySQL quotes names in another way.
const KEYS: Schema = Schema(&[
    "CREATE TABLE {quote}order{quote} (
        number {key} PRIMARY KEY, {quote}select{quote} {key} UNIQUE, big BIGINT NOT NULL DEFAULT 0)",
    "CREATE TABLE memberships (
        team_id BIGINT NOT NULL, user_name {key} NOT NULL, role {key} NOT NULL, PRIMARY KEY (team_id, user_name))",
]);

macro_rules! on_every_database_and_store {
    ($(fn $name:ident($conn:ident, $store:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(KEYS, sqlite_and_memory, sqlite, memory, ($conn, $store), $body);
            test_on!(KEYS, postgres_and_redis, postgres, redis, ($conn, $store), $body);
            test_on!(KEYS, mysql_and_memory, mysql, memory, ($conn, $store), $body);
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
