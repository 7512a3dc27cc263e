//! Entries are named after the primary key, and every row is told apart by it.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    users (id) { id -> Integer, token -> Text, note -> Nullable<Text> }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = users, primary_key(token))]
#[cache_fields()]
struct User {
    id: i32,
    token: Uncached<String>,
    note: Option<String>,
}

fn main() {}
