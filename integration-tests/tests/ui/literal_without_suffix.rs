//! A literal is an `i32` unless its suffix says otherwise; a larger one would wrap.
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn f(p: &mut Tracked<Project>) {
    let _ = p.update().events(9_223_372_036_854_775_807);
}

fn main() {}
