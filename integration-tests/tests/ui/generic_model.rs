//! A model is the row of one table: one type per column.
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(SentryModel)]
#[diesel(table_name = hosts)]
struct Host<T> {
    id: i32,
    name: T,
}

fn main() {}
