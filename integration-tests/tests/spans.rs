//! Promise: spans say what became of each lookup. In a file of its own, because what is traced is decided for the whole
//! process.
use integration_tests::databases;
use integration_tests::models::{Project, SCHEMA, projects};
use model_runtime::prelude::*;
use std::io::Write;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn spans_say_what_became_of_a_lookup() {
    use tracing_subscriber::fmt::format::FmtSpan;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let (mut conn, cache) = (databases::sqlite_in_memory(SCHEMA), Cache::memory());
        let mut db = Session::new(&mut conn, &cache);
        let mut p = Project::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        db.transaction(|db| p.update().events(1).execute(db)).unwrap();
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for expected in [
        "get_from_cache{model=\"Project\" outcome=\"miss\"}",
        "get_from_cache{model=\"Project\" outcome=\"hit\"}",
        "store{commands=1}",
        "commit{keys=1}",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}
