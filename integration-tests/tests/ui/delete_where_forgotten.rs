//! A DELETE that is dropped deletes nothing, and says nothing.
#![deny(unused_must_use)]
use diesel::prelude::*;
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _db = db;
    Project::delete_where(projects::events.eq(0));
}

fn main() {}
