//! A duration that is read wrongly would show only in production.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, ttl = "5min")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
