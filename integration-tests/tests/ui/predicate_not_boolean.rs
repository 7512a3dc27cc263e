//! A predicate is true or false for each row; a column alone is neither.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(db: &mut Session<'_, diesel::SqliteConnection>) {
    let _ = Project::delete_where(projects::slug).execute(db);
}

fn main() {}
