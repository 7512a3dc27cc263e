//! One of the two would be ignored.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name)]
#[cache_fields(id)]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
