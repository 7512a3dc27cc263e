//! How a batch reaches the store: after what the store is owed, and with note taken of what became of it.
use super::breaker::Pass;
use super::entry::{Token, new_token};
use super::handle::Cache;
#[cfg(feature = "async")]
use super::keeper::Alarm;
use super::keeper::Hold;
use super::observe::{Event, gauge_owed};
use super::outage::{Debt, Outage, Verdict};
use super::protocol::{Command, Reply};
use super::unplaced::Barred;
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
        loop {
            let (sending, debt) = self.may_send()?;
            let Some(debt) = debt else {
                let _span = tracing::trace_span!("store", commands = batch.len()).entered();
                return sending.heard(batch, self.0.store.call(batch), None);
            };
            let releases = releases(&debt);
            sending.heard(&releases, self.0.store.call(&releases), Some(&debt))?;
        }
    }

    /// The same, awaited.
    #[cfg(feature = "async")]
    pub(crate) async fn call_async(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        loop {
            let (sending, debt) = self.may_send()?;
            let Some(debt) = debt else {
                let span = tracing::trace_span!("store", commands = batch.len());
                let answer = self.0.store.call_async(batch).instrument(span).await;
                return sending.heard(batch, answer, None);
            };
            let releases = releases(&debt);
            let answer = self.0.store.call_async(&releases).await;
            sending.heard(&releases, answer, Some(&debt))?;
        }
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
    /// Until then this process is served nothing under the keys that are barred.
    pub(crate) fn release_late(&self, token: Token, keys: &Arc<[String]>, barred: Option<Barred>) {
        if !keys.is_empty() {
            self.0.keeper.release_late(self, token, keys, barred);
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

    /// The right to send, and what must be sent before anything else; an error where nothing may be sent.
    fn may_send(&self) -> Result<(Sending<'_>, Option<Debt>), StoreError> {
        let verdict = self.outage().verdict(self.now_ms(), DRAIN_CHUNK);
        match verdict {
            Verdict::Send(pass) => Ok((self.sending(pass), None)),
            Verdict::PayFirst(debt, pass) => Ok((self.sending(pass), Some(debt))),
            Verdict::Unavailable => Err(unavailable()),
        }
    }

    fn sending(&self, pass: Pass) -> Sending<'_> {
        if pass.is_probe() {
            self.0.counters.add(Event::Probe, 1);
        }
        Sending { cache: self, pass: Some(pass) }
    }

    fn paid(&self, debt: &Debt) {
        let settled = self.outage().paid(debt);
        self.count_paid(settled);
    }

    fn count_paid(&self, settled: usize) {
        self.0.counters.add(Event::Drained, settled as u64);
        gauge_owed(self.outage().owed());
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

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn outage(&self) -> MutexGuard<'_, Outage> {
        self.0.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch under way. Where nobody hears what becomes of it, because its future is dropped or the store panics, another
/// one may be sent in its place.
struct Sending<'c> {
    cache: &'c Cache,
    /// Taken when its end is known.
    pass: Option<Pass>,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.cache.outage().abandoned(&pass, self.cache.now_ms());
        }
    }
}

impl Sending<'_> {
    /// Takes note of what became of the batch, which paid this debt.
    fn heard(
        mut self,
        batch: &[Command],
        answer: Result<Answer, StoreError>,
        debt: Option<&Debt>,
    ) -> Result<Answer, StoreError> {
        let cache = self.cache;
        cache.0.counters.add(Event::RoundTrip, 1);
        cache.note_writes(batch);
        let answer = answer.and_then(|answer| match answer.replies.len() == batch.len() {
            true => Ok(answer),
            false => Err(StoreError(format!("{} replies to {} commands", answer.replies.len(), batch.len()))),
        });
        if let Some(pass) = self.pass.take() {
            match &answer {
                Ok(_) => cache.answered(&pass, debt),
                Err(error) => cache.failed(&pass, error),
            }
        }
        answer
    }
}

/// What an end of a batch means.
impl Cache {
    fn answered(&self, pass: &Pass, debt: Option<&Debt>) {
        if debt.is_none() && !pass.is_probe() {
            return;
        }
        // In one step: nobody is let in before the debt is paid.
        let (recovered, settled) = {
            let mut outage = self.outage();
            let settled = debt.map(|debt| outage.paid(debt));
            (outage.answered(pass), settled)
        };
        if let Some(settled) = settled {
            self.count_paid(settled);
        }
        if recovered {
            self.0.counters.add(Event::Recovery, 1);
            tracing::info!("the cache answers again");
        }
    }

    fn failed(&self, pass: &Pass, error: &StoreError) {
        self.0.counters.add(Event::StoreError, 1);
        let now = self.now_ms();
        if self.outage().failed(pass, now) {
            self.0.counters.add(Event::Outage, 1);
            tracing::warn!(%error, "the cache is out of reach; the database answers");
        }
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
        self.pay_what(Outage::may_pay)
    }

    /// The same at the end of a process, which cannot wait until the store is asked again.
    pub(super) fn pay_at_once(&self) -> bool {
        self.pay_what(|outage, now| Some(outage.may_pay_at_once(now)))
    }

    fn pay_what(&self, may_pay: MayPay) -> bool {
        loop {
            let debt = self.outage().debt(DRAIN_CHUNK);
            let Some(debt) = debt else { return false };
            let paid = match &debt {
                Debt::Keys { .. } => self.tell(may_pay, &releases(&debt), Some(&debt)).map(drop),
                Debt::Everything { .. } => self.empty(may_pay).map(|()| self.paid(&debt)),
            };
            if paid.is_err() {
                return true;
            }
        }
    }

    fn tell(&self, may_pay: MayPay, batch: &[Command], debt: Option<&Debt>) -> Result<Answer, StoreError> {
        let pass = may_pay(&mut self.outage(), self.now_ms());
        let sending = self.sending(pass.ok_or_else(unavailable)?);
        sending.heard(batch, self.0.store.call(batch), debt)
    }

    /// Deletes every entry of the namespace, but for intents; whatever the debts are.
    fn empty(&self, may_pay: MayPay) -> Result<(), StoreError> {
        let mut cursor = 0;
        loop {
            let scan = [Command::Scan { prefix: format!("{}:", self.config().prefix), cursor }];
            let (next, releases) = page(self.tell(may_pay, &scan, None)?);
            for chunk in releases.chunks(DRAIN_CHUNK) {
                self.tell(may_pay, chunk, None)?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// When what is owed may be sent.
type MayPay = fn(&mut Outage, u64) -> Option<Pass>;

fn unavailable() -> StoreError {
    StoreError("the store did not answer a moment ago".into())
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
