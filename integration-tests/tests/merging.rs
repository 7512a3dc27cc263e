//! Promise: the recipe of `docs/guide/merging.md` merges two users at once or not at all, and no cache shows anything
//! in between.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use diesel::prelude::*;
use integration_tests::databases::Schema;
use integration_tests::test_on;
use model_runtime::prelude::*;

diesel::table! { users (id) { id -> Integer, username -> Text } }
diesel::table! { comments (id) { id -> Integer, user_id -> Integer, text -> Text } }
diesel::table! { members (id) { id -> Integer, user_id -> Integer, team_id -> Integer, role -> Integer } }

/// Who is merged.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
#[cache_fields(username)]
struct User {
    #[bounded(auto)]
    id: i32,
    username: String,
}

/// Any number of them may belong to one user.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = comments)]
#[cache_fields()]
struct Comment {
    #[bounded(auto)]
    id: i32,
    user_id: i32,
    text: String,
}

/// One at most for each user and team.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, SentryModel)]
#[diesel(table_name = members)]
#[cache_fields((user_id, team_id))]
struct Member {
    #[bounded(auto)]
    id: i32,
    user_id: i32,
    team_id: i32,
    role: i32,
}

const TABLES: Schema = Schema(&[
    "CREATE TABLE users (id {pk}, username {key} NOT NULL UNIQUE)",
    "CREATE TABLE comments (id {pk}, user_id INTEGER NOT NULL REFERENCES users (id), text {key} NOT NULL)",
    "CREATE TABLE members (
        id {pk}, user_id INTEGER NOT NULL REFERENCES users (id), team_id INTEGER NOT NULL, role INTEGER NOT NULL,
        UNIQUE (user_id, team_id))",
]);

macro_rules! on_every_database_and_store {
    ($(fn $name:ident($conn:ident, $store:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            test_on!(TABLES, sqlite_and_memory, sqlite, memory, ($conn, $store), $body);
            test_on!(TABLES, postgres_and_redis, postgres, redis, ($conn, $store), $body);
            test_on!(TABLES, mysql_and_redis, mysql, redis, ($conn, $store), $body);
        }
    )* };
}

/// The recipe: in a team that both are in, the higher role stays.
macro_rules! merge {
    ($db:expr, $from:expr, $into:expr) => {
        $db.transaction(|db| {
            Comment::update_where(comments::user_id.eq($from.id)).user_id($into.id).execute(db)?;
            let theirs = members::table
                .filter(members::user_id.eq($from.id))
                .select(Tracked::<Member>::as_select())
                .load(db.connection())?;
            for mut member in theirs {
                let columns = (members::user_id, members::team_id);
                match Member::get_from_cache(db, columns, ($into.id, member.team_id)).optional()? {
                    None => assert!(member.update().user_id($into.id).execute(db)?),
                    Some(mut kept) => {
                        let role = kept.role.max(member.role);
                        kept.update().role(role).execute(db)?;
                        member.delete(db)?;
                    }
                }
            }
            $from.delete(db)
        })
    };
}

/// Anna is in teams 1 and 2, Bert in 2 and 3; every row is cached.
macro_rules! anna_and_bert {
    ($db:expr) => {{
        let users = ["anna", "bert"].map(|name| User::create().username(name).execute($db).unwrap());
        for (user, team, role) in [(0, 1, 1), (0, 2, 1), (1, 2, 5), (1, 3, 2)] {
            Member::create().user_id(users[user].id).team_id(team).role(role).execute($db).unwrap();
            for _ in 0..2 {
                let key = (users[user].id, team);
                Member::get_from_cache($db, (members::user_id, members::team_id), key).unwrap();
            }
        }
        for text in ["first", "second"] {
            let comment = Comment::create().user_id(users[1].id).text(text).execute($db).unwrap();
            Comment::get_from_cache($db, comments::id, comment.id).unwrap();
        }
        users
    }};
}

/// Teams and roles of a user, as the cache shows them.
macro_rules! teams_of {
    ($db:expr, $user:expr) => {
        [1, 2, 3].map(|team| {
            let columns = (members::user_id, members::team_id);
            Member::get_from_cache($db, columns, ($user, team)).optional().unwrap().map(|member| member.role)
        })
    };
}

on_every_database_and_store! {
    fn everything_moves_and_the_higher_role_stays(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let [anna, mut bert] = anna_and_bert!(&mut db);
        let old = bert.id;
        assert!(merge!(db, bert, anna).unwrap());
        for _ in 0..3 {
            assert_eq!(teams_of!(&mut db, anna.id), [Some(1), Some(5), Some(2)]);
            assert_eq!(teams_of!(&mut db, old), [None, None, None]);
            for id in 1..=2 {
                assert_eq!(Comment::get_from_cache(&mut db, comments::id, id).unwrap().user_id, anna.id);
            }
            assert!(User::get_from_cache(&mut db, users::username, "bert").optional().unwrap().is_none());
        }
        assert!(bert.update().username("b").execute(&mut db).is_err(), "the instance is unsaved");
    }

    fn a_merge_that_fails_leaves_everything_as_it_was(conn, store) {
        let cache = Cache::builder().store(store).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let [anna, mut bert] = anna_and_bert!(&mut db);
        let failed = db.transaction(|db| {
            merge!(db, bert, anna)?;
            Err::<(), _>(Error::Query("something else went wrong".into()))
        });
        assert!(failed.is_err());
        for _ in 0..2 {
            assert_eq!(teams_of!(&mut db, anna.id), [Some(1), Some(1), None]);
            assert_eq!(teams_of!(&mut db, bert.id), [None, Some(5), Some(2)]);
            assert_eq!(Comment::get_from_cache(&mut db, comments::id, 1).unwrap().user_id, bert.id);
        }
        assert!(bert.update().username("berta").execute(&mut db).unwrap(), "it is stored again");
    }
}
