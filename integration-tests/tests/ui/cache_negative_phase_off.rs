//! Nothing would tell of new keys, which is the hole that phases close; without `negative` nobody counts on it.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, negative = "30s", negative_phase = "off")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
