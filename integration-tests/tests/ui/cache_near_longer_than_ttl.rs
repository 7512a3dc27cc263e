//! A copy is never older than the entry it was made of.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, ttl = "1m", near = "5m")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
