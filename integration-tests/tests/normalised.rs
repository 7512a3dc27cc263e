//! Promise: a lookup in a normal form finds a row by each of its spellings, from the database and from the cache alike.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use diesel::prelude::*;
use integration_tests::databases::Schema;
use integration_tests::{count, test_on};
use model_runtime::prelude::*;

diesel::table! {
    users (id) {
        id -> Integer,
        team_id -> Integer,
        username -> Text,
        name -> Text,
        nick -> Nullable<Text>,
    }
}

fn canon(name: &str) -> String {
    name.trim_matches(' ').to_owned()
}

/// A user, looked up in three forms.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
#[cache_fields(username(iexact), name(normalize = canon, sql = "trim"), (team_id, nick(iexact)))]
struct User {
    #[bounded(auto)]
    id: i32,
    team_id: i32,
    username: String,
    name: String,
    nick: Option<String>,
}

const USERS: Schema = Schema(&[
    "CREATE TABLE users (id {pk}, team_id INTEGER NOT NULL, username {key} NOT NULL, name {key} NOT NULL, nick {key})",
]);

macro_rules! on_every_database_and_store {
    ($(fn $name:ident($conn:ident, $store:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(USERS, sqlite_and_memory, sqlite, memory, ($conn, $store), $body);
            test_on!(USERS, postgres_and_redis, postgres, redis, ($conn, $store), $body);
            test_on!(USERS, mysql_and_redis, mysql, redis, ($conn, $store), $body);
        }
    )* };
}

macro_rules! created {
    ($db:expr, $username:expr) => {
        User::create().team_id(1).username($username).name($username).nick($username).execute($db).unwrap()
    };
}

on_every_database_and_store! {
    fn every_spelling_finds_the_row_and_shares_its_entry(conn, store) {
        let statements = count::statements(conn);
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let anna = created!(&mut db, "Anna");
        created!(&mut db, "berta");
        for spelling in ["Anna", "ANNA"] {
            assert_eq!(User::get_from_cache(&mut db, users::username, spelling).unwrap(), anna);
        }
        statements.take();
        for spelling in ["anna", "aNNa", "Anna"] {
            assert_eq!(User::get_from_cache(&mut db, users::username, spelling).unwrap(), anna);
        }
        assert_eq!(statements.take(), Vec::<String>::new(), "one pointer for all spellings");
        assert_eq!(cache.stats().hits, 3);
        let columns = (users::team_id, users::nick);
        for _ in 0..2 {
            assert_eq!(User::get_from_cache(&mut db, columns, (1, "ANNA")).unwrap(), anna);
            assert!(User::get_from_cache(&mut db, columns, (2, "ANNA")).optional().unwrap().is_none());
        }
        let error = User::get_from_cache(&mut db, users::username, "Carl").unwrap_err();
        assert!(error.to_string().contains(r#"username__iexact="carl""#), "{error}");
    }

    fn a_function_of_ones_own_is_mirrored_by_the_database(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let anna = created!(&mut db, " Anna");
        for spelling in ["Anna", "  Anna  ", " Anna"] {
            assert_eq!(User::get_from_cache(&mut db, users::name, spelling).unwrap(), anna);
        }
        assert_eq!(cache.stats().hits, 1, "the first lookup points, the second fills");
        assert!(User::get_from_cache(&mut db, users::name, "anna").optional().unwrap().is_none());
    }

    fn many_are_looked_up_in_their_normal_form(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let (anna, berta) = (created!(&mut db, "Anna"), created!(&mut db, "berta"));
        for _ in 0..3 {
            let found = User::get_many_from_cache(&mut db, users::username, ["BERTA", "anna", "nobody", "Anna"]).unwrap();
            assert_eq!(found, [Some(berta.clone()), Some(anna.clone()), None, Some(anna.clone())]);
            let keys = [(1, Some("ANNA")), (1, None), (1, Some("Berta"))];
            let keys = keys.map(|(team, nick)| (team, nick.map(str::to_owned)));
            let found = User::get_many_from_cache(&mut db, (users::team_id, users::nick), keys).unwrap();
            assert_eq!(found, [Some(anna.clone()), None, Some(berta.clone())]);
        }
    }

    fn a_renamed_row_is_found_by_its_new_name_alone(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let mut anna = created!(&mut db, "Anna");
        for _ in 0..2 {
            User::get_from_cache(&mut db, users::username, "anna").unwrap();
        }
        anna.update().username("ANNA").execute(&mut db).unwrap();
        assert_eq!(User::get_from_cache(&mut db, users::username, "Anna").unwrap().username, "ANNA");
        anna.update().username("Berta").execute(&mut db).unwrap();
        assert!(User::get_from_cache(&mut db, users::username, "Anna").optional().unwrap().is_none());
        assert_eq!(User::get_from_cache(&mut db, users::username, "berta").unwrap(), anna);
        let carl = created!(&mut db, "anna");
        for _ in 0..3 {
            assert_eq!(User::get_from_cache(&mut db, users::username, "ANNA").unwrap(), carl);
        }
    }

    fn what_the_database_takes_for_the_same_and_rust_does_not_is_left_out(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let row = created!(&mut db, "Ärger");
        for _ in 0..3 {
            // Some databases fold this letter and some do not; here it is told apart on all.
            assert!(User::get_from_cache(&mut db, users::username, "ärger").optional().unwrap().is_none());
            assert_eq!(User::get_from_cache(&mut db, users::username, "ÄRGER").unwrap(), row);
            let many = User::get_many_from_cache(&mut db, users::username, ["ärger", "Ärger"]).unwrap();
            assert_eq!(many, [None, Some(row.clone())]);
        }
    }

    fn null_has_no_normal_form(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let row = User::create().team_id(1).username("a").name("a").execute(&mut db).unwrap();
        created!(&mut db, "none");
        assert_eq!(User::get_from_cache(&mut db, (users::team_id, users::nick), (1, None::<String>)).unwrap(), row);
    }
}
