//! A second predicate would have to replace the first one, or to join it; `.and(…)` says which.
use diesel::prelude::*;
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn main() {
    let events = projects::events.gt(0);
    let _ = Project::create_or_update().slug("pump").matching(events).matching(projects::name.ne("Pump"));
}
