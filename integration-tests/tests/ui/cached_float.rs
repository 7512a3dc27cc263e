//! `0.1 + 0.2` is not `0.3`: a key of a float would miss its own row.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, load -> Double }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(load)]
struct Host {
    id: i32,
    load: f64,
}

fn main() {}
