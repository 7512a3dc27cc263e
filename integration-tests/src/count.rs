//! Which SQL a connection sends.
use diesel::Connection;
use diesel::connection::InstrumentationEvent;
use std::sync::{Arc, Mutex};

/// The statements sent since the last look.
#[derive(Debug, Clone, Default)]
pub struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    /// Those since the last call.
    #[allow(clippy::must_use_candidate, reason = "called to forget as well")]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Hears the statements that the connection sends from now on.
pub fn statements(conn: &mut impl Connection) -> Statements {
    hear(conn, |event| match event {
        InstrumentationEvent::StartQuery { query, .. } => Some(query.to_string()),
        _ => None,
    })
}

/// Hears which statements the connection keeps prepared from now on.
pub fn prepared(conn: &mut impl Connection) -> Statements {
    hear(conn, |event| match event {
        InstrumentationEvent::CacheQuery { sql, .. } => Some(sql.to_owned()),
        _ => None,
    })
}

fn hear(conn: &mut impl Connection, pick: fn(InstrumentationEvent<'_>) -> Option<String>) -> Statements {
    let kept = Statements::default();
    let heard = kept.clone();
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        heard.0.lock().unwrap().extend(pick(event));
    });
    kept
}
