//! Which hits the canary looks at again.
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a sampled hit is compared again: what a race left behind rests for longer than a moment.
pub(crate) const LATER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// How many comparisons wait; the oldest are dropped.
const WAITING: usize = 1024;

/// The comparisons to come.
#[derive(Debug, Default)]
pub(crate) struct Canary(Mutex<VecDeque<Check>>);

/// A row that is compared again, by whichever session next looks up a row of its model.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) due: Instant,
    pub(crate) model: &'static str,
    /// Its primary key.
    pub(crate) key: Arc<dyn Any + Send + Sync>,
}

impl Canary {
    pub(crate) fn schedule(&self, checks: impl IntoIterator<Item = Check>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(checks);
        let surplus = waiting.len().saturating_sub(WAITING);
        waiting.drain(..surplus);
    }

    /// The key of a row of the model whose time has come.
    pub(crate) fn due(&self, model: &str, now: Instant) -> Option<Arc<dyn Any + Send + Sync>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = waiting.iter().position(|check| check.model == model && check.due <= now)?;
        waiting.remove(place).map(|check| check.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_wait_for_their_time_and_their_model_and_are_few() {
        let (canary, now) = (Canary::default(), Instant::now());
        let check = |n: u32| Check { due: now + LATER[0] * (n % 2), model: "M", key: Arc::new(n) };
        canary.schedule([check(1), check(2)]);
        assert!(canary.due("N", now).is_none());
        let number =
            |key: Option<Arc<dyn Any + Send + Sync>>| key.and_then(|key| key.downcast_ref::<u32>().copied());
        assert_eq!(number(canary.due("M", now)), Some(2));
        assert_eq!(number(canary.due("M", now)), None);
        assert_eq!(number(canary.due("M", now + LATER[0])), Some(1));
        canary.schedule((0..5000).map(check));
        assert_eq!(canary.0.lock().unwrap().len(), WAITING);
    }
}
