//! Composite keys, one table for several models, tables behind paths, a model inside a function.
use diesel::prelude::*;
use model_runtime::prelude::*;

mod schema {
    pub mod main {
        diesel::table! {
            members (team_id, user_id) {
                team_id -> Integer,
                user_id -> BigInt,
                role -> Text,
                rank -> SmallInt,
                score -> Nullable<BigInt>,
            }
        }
    }
}

#[derive(Debug, Queryable, Selectable, SentryModel)]
#[diesel(table_name = crate::schema::main::members)]
#[diesel(primary_key(team_id, user_id))]
#[cache_fields((team_id, user_id), role, (role, team_id))]
#[sane_repr(role)]
struct Member {
    team_id: i32,
    user_id: i64,
    role: String,
    #[bounded]
    rank: i16,
    #[bounded(positive, max = 9_223_372_036_854_775_807)]
    score: Option<i64>,
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = schema::main::members, primary_key(team_id, user_id), check_for_backend(diesel::sqlite::Sqlite))]
struct Key {
    team_id: i32,
    user_id: i64,
}

fn main() {
    #[derive(Queryable, Selectable, SentryModel)]
    #[diesel(table_name = schema::main::members)]
    #[diesel(primary_key(user_id))]
    #[cache_fields(pk)]
    struct Local {
        #[diesel(column_name = user_id)]
        id: i64,
    }

    let member = Member { team_id: 1, user_id: 2, role: "a".into(), rank: 3, score: None };
    assert_eq!(member.repr(), r#"<Member: team_id=1, user_id=2, role="a">"#);
    let _ = Key::create().team_id(1).user_id(2_i64);
    let _ = Local::create().id(3_i64);
}
