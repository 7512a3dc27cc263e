//! A predicate over another table would name columns that the statement has not.
use diesel::prelude::*;
use integration_tests::models::{Project, organizations};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::update_where(organizations::id.eq(1)).events(0).execute(db);
}

fn main() {}
