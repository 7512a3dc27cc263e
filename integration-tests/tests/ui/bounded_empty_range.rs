//! No value could ever be written.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, load -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[bounded(min = 10, max = 1)]
    load: i32,
}

fn main() {}
