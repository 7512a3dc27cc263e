//! A model is stored on the backends that all of its fields can be stored on.
#![allow(dead_code)]
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    devices (id) { id -> Uuid, name -> Text }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = devices)]
struct Device {
    id: uuid::Uuid,
    name: String,
}

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Device::create().name("a").execute(db);
}

fn main() {}
