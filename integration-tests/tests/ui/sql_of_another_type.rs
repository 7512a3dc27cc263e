//! An expression of another SQL type than the column's.
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

fn rename(db: &mut Session<'_, SqliteConnection>, mut host: Tracked<Host>) -> Result<bool, Error> {
    host.update().set_sql(hosts::name, hosts::id + 1).execute(db)
}

fn main() {
    let _ = rename;
}
