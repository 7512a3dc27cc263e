//! Updates, deletes and cache entries go by the primary key.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts, primary_key(nam))]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
