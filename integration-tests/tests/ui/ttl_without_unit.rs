//! Seconds or milliseconds? The reader should not have to know.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, ttl = 300)]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
