//! Field handles are the columns of the model's own table.
use integration_tests::models::{Project, organizations};
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    p.has_changed(organizations::name);
}

fn main() {}
