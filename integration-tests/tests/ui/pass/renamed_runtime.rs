//! `#[sentry(crate = …)]` is the only way from generated code to the runtime.
pub extern crate model_runtime as rt;

mod facade {
    pub use rt as models;
}

use diesel::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text }
}

#[derive(Queryable, Selectable, rt::SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(name)]
#[sentry(crate = rt)]
pub struct Host {
    pub id: i32,
    pub name: String,
}

#[derive(Queryable, Selectable, facade::models::SentryModel)]
#[diesel(table_name = hosts)]
#[sentry(crate = crate::facade::models)]
pub struct Server {
    pub id: i32,
    pub name: String,
}

fn main() {
    use rt::SentryModel as _;

    let _ = Host::create().name("a");
    let _ = Server::create().name("a");
}
