//! A lookup that is not declared has no pointer in the cache, and would never be a hit.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::get_from_cache(db, projects::events, 1);
}

fn main() {}
