//! A connection knows no cache, so its writes would leave stale rows there.
use integration_tests::models::Project;
use model_runtime::prelude::*;

fn f(conn: &mut diesel::SqliteConnection) {
    let _ = Project::create().slug("pump").execute(conn);
}

fn main() {}
