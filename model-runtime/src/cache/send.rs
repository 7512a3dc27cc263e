//! How a batch reaches the store: after what the store is owed, and with note taken of what became of it.
use super::entry::{Token, new_token};
use super::handle::Cache;
#[cfg(feature = "async")]
use super::keeper::Alarm;
use super::keeper::Hold;
use super::observe::{Event, gauge_owed};
use super::outage::{Debt, Outage, Verdict};
use super::protocol::{Command, Reply};
use crate::store::{Answer, StoreError};
use std::sync::{Arc, MutexGuard, PoisonError};
#[cfg(feature = "async")]
use std::time::Instant;
#[cfg(feature = "async")]
use tracing::Instrument;

/// How many keys go in one round trip of what is owed.
pub(super) const DRAIN_CHUNK: usize = 256;

impl Cache {
    /// Sends a batch, after the releases that are still owed.
    pub(crate) fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        while let Some(debt) = self.debt()? {
            let releases = releases(&debt);
            let answer = self.0.store.call(&releases);
            self.heard(&releases, answer)?;
            self.paid(&debt);
        }
        let _span = tracing::trace_span!("store", commands = batch.len()).entered();
        let answer = self.0.store.call(batch);
        self.heard(batch, answer)
    }

    /// The same, awaited.
    #[cfg(feature = "async")]
    pub(crate) async fn call_async(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        while let Some(debt) = self.debt()? {
            let releases = releases(&debt);
            let answer = self.0.store.call_async(&releases).await;
            self.heard(&releases, answer)?;
            self.paid(&debt);
        }
        let span = tracing::trace_span!("store", commands = batch.len());
        let answer = self.0.store.call_async(batch).instrument(span).await;
        self.heard(batch, answer)
    }

    /// Places these intents again until the hold is dropped.
    pub(crate) fn hold(&self, token: Token, keys: &Arc<[String]>) -> Option<Hold> {
        (!keys.is_empty()).then(|| self.0.keeper.hold(self, token, keys))
    }

    /// Rings at `due`.
    #[cfg(feature = "async")]
    pub(crate) fn alarm(&self, due: Instant) -> Alarm {
        self.0.keeper.alarm(self, due)
    }

    /// Releases these intents once they have expired: nobody learns what became of their write.
    pub(crate) fn release_late(&self, token: Token, keys: &Arc<[String]>) {
        if !keys.is_empty() {
            self.0.keeper.release_late(self, token, keys);
        }
    }

    /// These keys were written and their release was not answered: it is sent before the store is next
    /// believed.
    pub(crate) fn postpone(&self, keys: &[String]) {
        if keys.is_empty() {
            return;
        }
        self.0.counters.add(Event::Postponed, keys.len() as u64);
        if let Some(near) = self.0.near.get() {
            for key in keys {
                near.written(key);
            }
        }
        let dropped = self.outage().postpone(keys);
        self.0.counters.add(Event::DroppedInvalidation, dropped);
        gauge_owed(self.outage().owed());
        self.0.keeper.owe(self);
    }

    /// What must be sent before anything else; an error where nothing may be sent.
    fn debt(&self) -> Result<Option<Debt>, StoreError> {
        match self.outage().verdict(self.now_ms(), DRAIN_CHUNK) {
            Verdict::Send => Ok(None),
            Verdict::PayFirst(debt) => Ok(Some(debt)),
            Verdict::Unavailable => Err(StoreError("the store did not answer a moment ago".into())),
        }
    }

    fn paid(&self, debt: &Debt) {
        let settled = self.outage().paid(debt);
        self.0.counters.add(Event::Drained, settled as u64);
        gauge_owed(self.outage().owed());
    }

    /// Takes note of what became of a batch.
    fn heard(&self, batch: &[Command], answer: Result<Answer, StoreError>) -> Result<Answer, StoreError> {
        self.0.counters.add(Event::RoundTrip, 1);
        self.note_writes(batch);
        let answer = answer.and_then(|answer| match answer.replies.len() == batch.len() {
            true => Ok(answer),
            false => Err(StoreError(format!("{} replies to {} commands", answer.replies.len(), batch.len()))),
        });
        match &answer {
            Ok(_) => {
                if self.outage().answered() {
                    tracing::info!("the cache answers again");
                }
            }
            Err(error) => self.failed(error),
        }
        answer
    }

    /// Whatever became of them: copies from before are not served after these commands.
    fn note_writes(&self, batch: &[Command]) {
        let Some(near) = self.0.near.get() else { return };
        for command in batch {
            if let Command::Place { key, .. } | Command::Release { key, .. } = command {
                near.written(key);
            }
        }
    }

    fn failed(&self, error: &StoreError) {
        self.0.counters.add(Event::StoreError, 1);
        let now = self.now_ms();
        if self.outage().failed(now) {
            tracing::warn!(%error, "the cache is out of reach; the database answers");
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn outage(&self) -> MutexGuard<'_, Outage> {
        self.0.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the background thread does.
impl Cache {
    /// Places the intents of a commit that takes long.
    pub(super) fn place_again(&self, token: Token, keys: &[String]) {
        let lifetime_ms = self.config().intent_ms;
        let place = |key: &String| Command::Place { key: key.clone(), token, lifetime_ms };
        for chunk in keys.chunks(DRAIN_CHUNK) {
            self.0.counters.add(Event::RenewedIntent, chunk.len() as u64);
            // Where it does not answer, the commit may outlive its intents: the release heals that.
            let _ = self.call(&chunk.iter().map(place).collect::<Vec<_>>());
        }
    }

    /// Releases intents that have expired. Where one of them had been lost, what was filled since is deleted: the write
    /// may have been committed.
    pub(super) fn release_expired(&self, token: Token, keys: &[String]) {
        for chunk in keys.chunks(DRAIN_CHUNK) {
            let release = |key: &String| Command::Release { key: key.clone(), token };
            if self.call(&chunk.iter().map(release).collect::<Vec<_>>()).is_err() {
                self.postpone(chunk);
            }
        }
    }

    /// Tells the store what it is owed, as far as it answers; returns whether anything is left.
    pub(super) fn pay(&self) -> bool {
        self.pay_what(|outage, now| outage.payable(now, DRAIN_CHUNK))
    }

    /// The same at the end of a process, which cannot wait until the store is asked again.
    pub(super) fn pay_at_once(&self) -> bool {
        self.pay_what(|outage, _| outage.payable_at_once(DRAIN_CHUNK))
    }

    fn pay_what(&self, payable: impl Fn(&Outage, u64) -> Option<Debt>) -> bool {
        loop {
            let debt = payable(&self.outage(), self.now_ms());
            let Some(debt) = debt else { break };
            let paid = match &debt {
                Debt::Keys { .. } => {
                    let releases = releases(&debt);
                    self.heard(&releases, self.0.store.call(&releases)).is_ok()
                }
                Debt::Everything { .. } => self.empty(&format!("{}:", self.config().prefix)).is_ok(),
            };
            if !paid {
                break;
            }
            self.paid(&debt);
        }
        self.outage().owed() > 0
    }

    /// Deletes every entry whose key begins with `prefix`, but for intents; whatever the debts are.
    fn empty(&self, prefix: &str) -> Result<u64, StoreError> {
        let (mut cursor, mut count) = (0, 0);
        loop {
            let scan = [Command::Scan { prefix: prefix.to_owned(), cursor }];
            let answer = self.heard(&scan, self.0.store.call(&scan))?;
            let (next, releases) = page(answer);
            for chunk in releases.chunks(DRAIN_CHUNK) {
                self.heard(chunk, self.0.store.call(chunk))?;
            }
            count += releases.len() as u64;
            cursor = next;
            if cursor == 0 {
                return Ok(count);
            }
        }
    }
}

// By a token that nobody placed: whatever was filled since is deleted, intents of others stay.
fn releases(debt: &Debt) -> Vec<Command> {
    match debt {
        Debt::Keys { keys, .. } => deletions(keys),
        Debt::Everything { .. } => Vec::new(),
    }
}

/// Deletes what stands under the keys, but for intents.
pub(crate) fn deletions(keys: &[String]) -> Vec<Command> {
    let token = new_token();
    keys.iter().map(|key| Command::Release { key: key.clone(), token }).collect()
}

/// Where a scan goes on, and how to delete what it has found.
pub(super) fn page(answer: Answer) -> (u64, Vec<Command>) {
    match answer.replies.into_iter().next() {
        Some(Reply::Page { next, keys }) => (next, deletions(&keys)),
        _ => (0, Vec::new()),
    }
}
