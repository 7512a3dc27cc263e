//! A policy that does not exist must not fall back to the default unseen.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name, outage = "ignore")]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
