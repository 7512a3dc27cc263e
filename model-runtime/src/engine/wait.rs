//! Waiting for other readers of this process; the only place where a lookup pauses.
use super::Executor;
use crate::cache::flight::{Follow, Landing};
use crate::cache::gate::Pass;
use std::time::{Duration, Instant};

/// What became of the round; a reader that has waited until `until` overtakes it, or goes alone.
pub(super) async fn landing<S: Executor>(db: &mut S, follow: &Follow, until: Instant) -> Landing {
    loop {
        let listener = follow.listen();
        if let Some(landing) = follow.landing() {
            return landing;
        }
        db.pause(listener, Some(until)).await;
        if Instant::now() >= until {
            return follow.overtake();
        }
    }
}

/// The right to ask the database while the store is out of reach; `None` once that has taken as long as a lease: those inside
/// may be futures that are never polled again.
pub(super) async fn pass<S: Executor>(db: &mut S) -> Option<Pass> {
    let gate = db.cache().gate().clone();
    let until = Instant::now() + Duration::from_millis(db.cache().config().lease_ms);
    loop {
        let listener = gate.listen();
        if let Some(pass) = gate.enter() {
            return Some(pass);
        }
        if Instant::now() >= until {
            return None;
        }
        db.pause(listener, Some(until)).await;
    }
}
