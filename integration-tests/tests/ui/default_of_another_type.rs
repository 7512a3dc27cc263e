//! The default is a value of the field.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, load -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[default(1.5)]
    load: i32,
}

fn main() {}
