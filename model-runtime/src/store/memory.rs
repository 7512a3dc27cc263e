//! The in-process store: a map that runs the protocol's text itself.
use super::{Answer, Store, StoreError};
use crate::cache::entry::{self, Entry, Epoch};
use crate::cache::protocol::{self, Command, Reply, Slot};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const SHARDS: usize = 16;
const DEFAULT_CAPACITY: usize = 100_000;
/// How many entries are looked at to make room for one.
const EVICTION_SAMPLE: usize = 8;

/// Entries of this process alone: for tests, for one-process services, and to start with.
///
/// It holds a bounded number of entries; rows, leases and pointers make room for others, write intents never
/// do.
#[derive(Debug)]
pub struct MemoryStore {
    shards: [Mutex<HashMap<String, Slot>>; SHARDS],
    hasher: RandomState,
    shard_capacity: usize,
    epoch: Epoch,
    started: Instant,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

impl MemoryStore {
    /// A store of at most about `entries` entries.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        let hasher = RandomState::new();
        let epoch = Epoch(hasher.hash_one("epoch"));
        Self {
            shards: Default::default(),
            hasher,
            shard_capacity: entries.div_ceil(SHARDS).max(1),
            epoch,
            started: Instant::now(),
        }
    }

    // Deadlines in the entries have 13 digits, so the clock starts where milliseconds have that many.
    fn now(&self) -> u64 {
        1_000_000_000_000 + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, HashMap<String, Slot>> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        // A panic while it was held cannot have left a slot half-written.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &str, now: u64) -> Option<Vec<u8>> {
        let shard = self.shard(key);
        shard.get(key).filter(|slot| slot.expires_at > now).map(|slot| slot.bytes.clone())
    }

    /// Lets `step` replace what the key holds.
    fn change<T>(&self, key: &str, now: u64, step: impl FnOnce(Option<Slot>) -> (Option<Slot>, T)) -> T {
        let mut shard = self.shard(key);
        let old = shard.remove(key);
        let (new, reply) = step(old);
        if let Some(new) = new {
            if shard.len() >= self.shard_capacity {
                make_room(&mut shard, now);
            }
            shard.insert(key.to_owned(), new);
        }
        reply
    }

    /// The keys of one shard: cursors count shards.
    fn page(&self, prefix: &str, cursor: u64, now: u64) -> Reply {
        let index = usize::try_from(cursor).unwrap_or(SHARDS);
        let Some(shard) = self.shards.get(index) else { return Reply::Page { next: 0, keys: Vec::new() } };
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let live = shard.iter().filter(|(key, slot)| key.starts_with(prefix) && slot.expires_at > now);
        let keys = live.map(|(key, _)| key.clone()).collect();
        Reply::Page { next: if index + 1 < SHARDS { cursor + 1 } else { 0 }, keys }
    }

    fn carry_out(&self, command: &Command, now: u64) -> Reply {
        match command {
            Command::Get { key } => Reply::Entry(self.get(key, now)),
            Command::Deref { pointer } => {
                let pointer = self.get(pointer, now);
                let row = match pointer.as_deref().map(entry::parse) {
                    Some(Entry::Pointer { target }) => self.get(target, now),
                    _ => None,
                };
                Reply::Pair { pointer, row }
            }
            Command::Lease { key, token, ttl_ms } => {
                Reply::Entry(self.change(key, now, |slot| protocol::lease(slot, *token, *ttl_ms, now)))
            }
            Command::Swap { key, expect, new, ttl_ms } => Reply::Done(
                self.change(key, now, |slot| protocol::swap(slot, expect, new.clone(), *ttl_ms, now)),
            ),
            Command::Point { pointer, target, ttl_ms } => {
                Reply::Done(self.change(pointer, now, |slot| protocol::point(slot, target, *ttl_ms, now)))
            }
            Command::Unpoint { pointer, target } => {
                Reply::Done(self.change(pointer, now, |slot| protocol::unpoint(slot, target, now)))
            }
            Command::Place { key, token, lifetime_ms } => Reply::Done(
                self.change(key, now, |slot| (Some(protocol::place(slot, *token, *lifetime_ms, now)), true)),
            ),
            Command::Scan { prefix, cursor } => self.page(prefix, *cursor, now),
            Command::Release { key, token } => {
                Reply::Done(self.change(key, now, |slot| protocol::release(slot, *token, now)))
            }
        }
    }
}

/// Removes one of a few entries that are not intents, preferring what has expired. Intents are never evicted:
/// a reader would fill behind the writer's back.
fn make_room(shard: &mut HashMap<String, Slot>, now: u64) {
    let candidates =
        shard.iter().filter(|(_, slot)| slot.bytes.first() != Some(&b'W') || slot.expires_at <= now);
    let victim = candidates.take(EVICTION_SAMPLE).min_by_key(|(_, slot)| slot.expires_at);
    if let Some(key) = victim.map(|(key, _)| key.clone()) {
        shard.remove(&key);
    }
}

impl Store for MemoryStore {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let now = self.now();
        let replies = batch.iter().map(|command| self.carry_out(command, now)).collect();
        Ok(Answer { epoch: self.epoch, quarantined: false, forgetful: false, replies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_bounded_and_keeps_intents() {
        let store = MemoryStore::with_capacity(64);
        let intent = |n: u8| Command::Place { key: format!("w{n}"), token: [n; 16], lifetime_ms: 60_000 };
        store.call(&(0..8).map(intent).collect::<Vec<_>>()).unwrap();
        for n in 0..10_000 {
            let lease = Command::Lease { key: format!("k{n}"), token: [0; 16], ttl_ms: 60_000 };
            store.call(&[lease]).unwrap();
        }
        let held: usize = store.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= 64 + 8, "{held}");
        for n in 0..8 {
            let answer = store.call(&[Command::Get { key: format!("w{n}") }]).unwrap();
            assert!(matches!(&answer.replies[..], [Reply::Entry(Some(_))]), "an intent was evicted");
        }
    }
}
