//! A lookup by a token would put the token, hashed, among the names of entries.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    users (id) { id -> Integer, token -> Text, note -> Nullable<Text> }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
#[cache_fields(token)]
struct User {
    id: i32,
    token: Uncached<String>,
    note: Option<String>,
}

fn main() {}
