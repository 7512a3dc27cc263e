//! Every `create()` that leaves the field out would fail at run time.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, load -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[bounded(positive)]
    #[default(-1)]
    load: i32,
}

fn main() {}
