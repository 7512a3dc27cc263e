//! Numbers have one spelling each.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, port -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(port(iexact))]
struct Host {
    id: i32,
    port: i32,
}

fn main() {}
