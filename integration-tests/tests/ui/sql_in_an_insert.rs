//! There is no row yet that an expression could read.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    name: String,
}

fn main() {
    let _ = Host::create().set_sql(hosts::name, "a");
}
