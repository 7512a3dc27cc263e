//! Whether a value is there is part of the secret, and not in the cache either.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    users (id) { id -> Integer, token -> Text, note -> Nullable<Text> }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
#[cache_fields()]
struct User {
    id: i32,
    token: String,
    note: Option<Uncached<String>>,
}

fn main() {}
