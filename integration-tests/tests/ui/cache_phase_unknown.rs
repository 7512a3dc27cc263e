//! A phase that does not exist must not turn the cache on unseen.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, phase = "write_only")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
