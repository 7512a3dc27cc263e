//! A name without quotes is one that an editor can follow.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields("name")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
