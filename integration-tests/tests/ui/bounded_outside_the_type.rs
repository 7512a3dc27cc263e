//! The field could not hold the values that the range promises.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, load -> SmallInt }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[bounded(max = 40_000)]
    load: i16,
}

fn main() {}
