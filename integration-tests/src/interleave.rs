//! A store that lets a test act at an exact step of the protocol. The store behind it is a real one.
use model_runtime::cache::entry::Epoch;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::store::{Answer, Ear, Store, StoreError};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether a test acts before or after the store has seen a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

struct Hook {
    when: When,
    matches: Matches,
    /// How many matching batches pass before.
    passing: usize,
    act: Box<dyn FnOnce() + Send>,
}

#[derive(Debug, Clone, Copy)]
enum Loss {
    Told,
    Silent,
}

type Matches = fn(&Command) -> bool;

/// Runs each action once, at the first batch that holds a matching command.
pub struct Interleaved {
    inner: Arc<dyn Store>,
    hooks: Mutex<Vec<Hook>>,
    failure: Mutex<Option<(Matches, Loss)>>,
}

impl std::fmt::Debug for Interleaved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Interleaved").field(&self.inner).finish()
    }
}

impl Interleaved {
    /// `inner` with no action yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, hooks: Mutex::default(), failure: Mutex::default() })
    }

    /// Acts before the store sees the first matching command.
    pub fn before(&self, matches: Matches, act: impl FnOnce() + Send + 'static) {
        self.add(When::Before, matches, act);
    }

    /// Acts after the store has answered the first matching command.
    pub fn after(&self, matches: Matches, act: impl FnOnce() + Send + 'static) {
        self.add(When::After, matches, act);
    }

    /// Acts after the store has answered the second matching command.
    pub fn after_the_second(&self, matches: Matches, act: impl FnOnce() + Send + 'static) {
        self.lock().push(Hook { when: When::After, matches, passing: 1, act: Box::new(act) });
    }

    /// Does not answer the first batch with a matching command, which the store behind does not see.
    pub fn fail(&self, matches: Matches) {
        self.spoil(matches, Loss::Told);
    }

    /// Loses the first batch with a matching command: the store behind does not see it, and the caller hears that all
    /// was done. What an eviction does to an intent, and a death to a release.
    pub fn lose(&self, matches: Matches) {
        self.spoil(matches, Loss::Silent);
    }

    fn spoil(&self, matches: Matches, loss: Loss) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((matches, loss));
    }

    /// How many actions have not run.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().len()
    }

    fn add(&self, when: When, matches: Matches, act: impl FnOnce() + Send + 'static) {
        self.lock().push(Hook { when, matches, passing: 0, act: Box::new(act) });
    }

    fn loss(&self, batch: &[Command]) -> Option<Loss> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take_if(|(matches, _)| batch.iter().any(*matches)).map(|(_, loss)| loss)
    }

    // The action runs without the lock, so that it can use the same store.
    fn run(&self, when: When, batch: &[Command]) {
        // A batch passes a hook once, however many others act on it.
        let mut passed = false;
        loop {
            let hook = {
                let mut hooks = self.lock();
                let mut matching = hooks
                    .iter_mut()
                    .enumerate()
                    .filter(|(_, hook)| hook.when == when && batch.iter().any(hook.matches));
                let found = matching.find_map(|(index, hook)| match hook.passing.checked_sub(1) {
                    None => Some(index),
                    Some(left) if !passed => {
                        hook.passing = left;
                        None
                    }
                    Some(_) => None,
                });
                drop(matching);
                passed = true;
                found.map(|index| hooks.remove(index))
            };
            match hook {
                Some(hook) => (hook.act)(),
                None => return,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Hook>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Interleaved {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        self.run(When::Before, batch);
        let answer = match self.loss(batch) {
            None => self.inner.call(batch),
            Some(Loss::Told) => Err(StoreError("the test wants it so".into())),
            Some(Loss::Silent) => {
                let replies = batch.iter().map(|_| Reply::Done(true)).collect();
                Ok(Answer { epoch: Epoch(0), quarantined: false, forgetful: false, replies })
            }
        };
        self.run(When::After, batch);
        answer
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn listen(&self, ear: &mut dyn Ear) -> Result<(), StoreError> {
        self.inner.listen(ear)
    }
}
