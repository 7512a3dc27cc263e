//! What `repr()` prints goes to logs.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    users (id) { id -> Integer, token -> Text, note -> Nullable<Text> }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = users)]
#[cache_fields()]
#[sane_repr(token)]
struct User {
    id: i32,
    token: Uncached<String>,
    note: Option<String>,
}

fn main() {}
