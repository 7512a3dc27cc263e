//! Both would be the same cache key: the order of the fields does not matter to it.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text, zone -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields((name, zone), (zone, name))]
struct Host {
    id: i32,
    name: String,
    zone: String,
}

fn main() {}
