//! An UPDATE sees the columns of its own table.
use integration_tests::models::{Project, organizations};
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().events(F(organizations::id));
}

fn main() {}
