//! Keys are parted by colons, and the name stands in SQL of triggers.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, name = "a:b")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
