//! Rust's own `Default` is not what a column has when it is left out.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, load -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    #[default]
    load: i32,
}

fn main() {}
