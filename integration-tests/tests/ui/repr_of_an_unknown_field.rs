//! A log line without the field that was asked for is noticed when it is needed.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[sane_repr(nmae)]
struct Host {
    id: i32,
    name: String,
}

fn main() {}
