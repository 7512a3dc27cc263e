//! The primary key names the row's entry, which every write finds by the key as it is stored.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (name) { name -> Text, port -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts, primary_key(name))]
#[cache_fields(name(iexact))]
struct Host {
    name: String,
    port: i32,
}

fn main() {}
