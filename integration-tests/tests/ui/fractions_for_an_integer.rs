//! Databases round fractions in different ways, so that an integer takes none.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, load -> Double, rounded -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
struct Host {
    id: i32,
    load: f64,
    rounded: i32,
}

fn main() {
    let _ = Host::create().rounded(F(hosts::load) * 2);
}
