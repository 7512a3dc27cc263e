//! An UPDATE by predicate updates every row that matches by itself.
use diesel::prelude::*;
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn main() {
    let _ = Project::update_where(projects::events.gt(0)).events(0).all_matches();
}
