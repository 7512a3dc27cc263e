//! An upsert that is dropped writes nothing, and says nothing.
#![deny(unused_must_use)]
use diesel::prelude::*;
use integration_tests::models::{Project, projects};
use model_runtime::prelude::*;

fn main() {
    Project::create_or_update().slug("pump").matching(projects::events.gt(0));
    Project::create_or_update().slug("pump").all_matches();
}
