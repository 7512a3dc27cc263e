//! Each of many keys must be a key of the lookup.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::get_many_from_cache(db, projects::id, ["pump"]);
}

fn main() {}
