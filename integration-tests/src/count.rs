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

/// Listens to the connection from now on.
pub fn statements(conn: &mut impl Connection) -> Statements {
    let sent = Statements::default();
    let heard = sent.clone();
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            heard.0.lock().unwrap().push(query.to_string());
        }
    });
    sent
}

/// Hears which statements the connection keeps prepared from now on.
pub fn prepared(conn: &mut impl Connection) -> Statements {
    let kept = Statements::default();
    let heard = kept.clone();
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::CacheQuery { sql, .. } = event {
            heard.0.lock().unwrap().push(sql.to_owned());
        }
    });
    kept
}
