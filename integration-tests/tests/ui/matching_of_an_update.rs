//! The row is known: there is no lookup to narrow.
use diesel::prelude::*;
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().slug("pump").matching(projects::events.gt(0));
}

fn main() {}
