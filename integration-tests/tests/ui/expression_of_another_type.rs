//! The database would convert, each in its own way.
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().name(F(projects::events) + 1);
}

fn main() {}
