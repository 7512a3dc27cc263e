//! A lookup takes a value of its field.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::get_from_cache(db, projects::id, "pump");
}

fn main() {}
