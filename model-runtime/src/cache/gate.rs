//! How many lookups ask the database at once while the store is out of reach.
use event_listener::{Event, EventListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lets a bounded number in.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Mutex<usize>,
    freed: Event,
}

/// One place inside; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Pass(Gate);

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Inner { free: Mutex::new(places), freed: Event::new() }))
    }

    pub(crate) fn enter(&self) -> Option<Pass> {
        let mut free = self.lock();
        *free = free.checked_sub(1)?;
        Some(Pass(self.clone()))
    }

    /// Notified when a place is free; to be made before [`enter`](Self::enter) is tried.
    pub(crate) fn listen(&self) -> EventListener {
        self.0.freed.listen()
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        // Beside those that were notified and have not come yet.
        self.0.0.freed.notify_additional(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_listener::Listener;

    #[test]
    fn no_more_than_the_places_are_inside_and_each_exit_tells_one() {
        let gate = Gate::new(2);
        let (one, two) = (gate.enter(), gate.enter());
        assert!(one.is_some() && two.is_some() && gate.enter().is_none());
        let listener = gate.listen();
        drop(one);
        assert!(listener.wait_timeout(std::time::Duration::from_secs(20)).is_some());
        assert!(gate.enter().is_some());
    }
}
