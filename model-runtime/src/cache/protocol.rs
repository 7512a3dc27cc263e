//! The decisions of the cache: pure functions without I/O, clock or randomness.
//!
//! The memory store runs this text, the Lua scripts of the Redis store mirror it function by function, and
//! the conformance suite holds the two against each other. `now` and deadlines are milliseconds of the
//! store's own clock.
use super::entry::{self, Entry, Epoch, HEADER, Meta, Token};

/// More owners than this are not listed; their intents become one anonymous hold, because an unbounded list
/// makes contended writes quadratic.
pub const MAX_OWNERS: usize = 16;
/// No intent lives longer, in milliseconds; one that says so is nobody's.
pub const MAX_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;
const OWNER: usize = 29;
const ANONYMOUS: u8 = b'2';

/// One step of the protocol on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What stands under the key; answered by [`Reply::Entry`].
    Get {
        /// The key.
        key: String,
    },
    /// A pointer and the row it points at; answered by [`Reply::Pair`].
    Deref {
        /// The pointer's key.
        pointer: String,
    },
    /// Take the lease of a vacant key; answered by [`Reply::Entry`]: `None` where it was granted.
    Lease {
        /// The key.
        key: String,
        /// The reader's token.
        token: Token,
        /// How long the lease lives.
        ttl_ms: u64,
    },
    /// Replace what begins with `expect`; answered by [`Reply::Done`].
    Swap {
        /// The key.
        key: String,
        /// What must stand there; empty matches an empty entry alone.
        expect: Vec<u8>,
        /// The new entry.
        new: Vec<u8>,
        /// How long it lives.
        ttl_ms: u64,
    },
    /// Set a pointer unless a lease or intents stand there; answered by [`Reply::Done`].
    Point {
        /// The pointer's key.
        pointer: String,
        /// The row's key.
        target: String,
        /// How long it lives.
        ttl_ms: u64,
    },
    /// Delete exactly this pointer; answered by [`Reply::Done`].
    Unpoint {
        /// The pointer's key.
        pointer: String,
        /// The row's key.
        target: String,
    },
    /// Announce a write; answered by [`Reply::Done`].
    Place {
        /// The key.
        key: String,
        /// The writer's token.
        token: Token,
        /// How long the intent holds if it is never released.
        lifetime_ms: u64,
    },
    /// Some of the keys that begin with `prefix`; answered by [`Reply::Page`]. Keys that are there from the first page
    /// to the last are on one of them.
    Scan {
        /// What they begin with.
        prefix: String,
        /// 0 for the first page, then what the last page said.
        cursor: u64,
    },
    /// The write ended; answered by [`Reply::Done`], which is `true` where the intent had been lost and
    /// whatever stood there was deleted.
    Release {
        /// The key.
        key: String,
        /// The writer's token.
        token: Token,
    },
}

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What stands, or stood, under the key.
    Entry(Option<Vec<u8>>),
    /// A pointer, and the row it points at.
    Pair {
        /// What stands under the pointer's key.
        pointer: Option<Vec<u8>>,
        /// What stands under the key it names.
        row: Option<Vec<u8>>,
    },
    /// Whether it was done.
    Done(bool),
    /// Keys.
    Page {
        /// Where to go on; 0 at the end.
        next: u64,
        /// Some of them.
        keys: Vec<String>,
    },
}

/// What one key holds, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The entry.
    pub bytes: Vec<u8>,
    /// When it is gone.
    pub expires_at: u64,
}

/// The slot, unless it has expired.
#[must_use]
pub fn live(slot: Option<Slot>, now: u64) -> Option<Slot> {
    slot.filter(|slot| slot.expires_at > now)
}

/// `SET key lease NX GET PX ttl`: the new slot, and what stood there.
#[must_use]
pub fn lease(slot: Option<Slot>, token: Token, ttl_ms: u64, now: u64) -> (Option<Slot>, Option<Vec<u8>>) {
    match live(slot, now) {
        Some(slot) => {
            let stood = slot.bytes.clone();
            (Some(slot), Some(stood))
        }
        None => (Some(Slot { bytes: entry::lease(token), expires_at: now.saturating_add(ttl_ms) }), None),
    }
}

/// Replaces what begins with `expect`: fill, refresh, take-over.
#[must_use]
pub fn swap(slot: Option<Slot>, expect: &[u8], new: Vec<u8>, ttl_ms: u64, now: u64) -> (Option<Slot>, bool) {
    match live(slot, now) {
        // Every entry begins with nothing, so nothing names an empty one alone.
        Some(slot) if slot.bytes.starts_with(expect) && expect.is_empty() == slot.bytes.is_empty() => {
            (Some(Slot { bytes: new, expires_at: now.saturating_add(ttl_ms) }), true)
        }
        other => (other, false),
    }
}

/// Sets a pointer unless a lease or intents stand there.
#[must_use]
pub fn point(slot: Option<Slot>, target: &str, ttl_ms: u64, now: u64) -> (Option<Slot>, bool) {
    match live(slot, now) {
        Some(slot) if matches!(slot.bytes.first(), Some(b'L' | b'W')) => (Some(slot), false),
        _ => (Some(Slot { bytes: entry::pointer(target), expires_at: now.saturating_add(ttl_ms) }), true),
    }
}

/// Deletes exactly this pointer.
#[must_use]
pub fn unpoint(slot: Option<Slot>, target: &str, now: u64) -> (Option<Slot>, bool) {
    match live(slot, now) {
        Some(slot) if slot.bytes == entry::pointer(target) => (None, true),
        other => (other, false),
    }
}

/// Adds an intent and drops the dead ones. Whatever else stood there is gone: a value must not be served, a
/// lease must not fill.
#[must_use]
pub fn place(slot: Option<Slot>, token: Token, lifetime_ms: u64, now: u64) -> Slot {
    let deadline = now.saturating_add(lifetime_ms);
    let (mut flag, mut expires_at, mut others) = (b'0', deadline, Vec::new());
    if let Some(slot) = live(slot, now)
        && let Some(held) = flag_of(&slot.bytes)
    {
        flag = held;
        if flag == ANONYMOUS {
            expires_at = expires_at.max(slot.expires_at.min(now.saturating_add(MAX_LIFETIME_MS)));
        } else {
            others = owners(&slot.bytes, &token, now);
        }
    }
    for (_, other) in &others {
        flag = b'1';
        expires_at = expires_at.max(*other);
    }
    if flag == ANONYMOUS || others.len() >= MAX_OWNERS {
        return Slot { bytes: vec![b'W', ANONYMOUS], expires_at };
    }
    others.push((token, deadline));
    Slot { bytes: intents(flag, &others), expires_at }
}

/// Takes the intent away and deletes the entry with the last one; `true` where the intent had been lost, so
/// that whatever was filled since is deleted.
#[must_use]
pub fn release(slot: Option<Slot>, token: Token, now: u64) -> (Option<Slot>, bool) {
    let Some(slot) = live(slot, now) else { return (None, true) };
    match flag_of(&slot.bytes) {
        None => (None, true),
        Some(ANONYMOUS) => (Some(slot), false),
        Some(_) => {
            let others = owners(&slot.bytes, &token, now);
            let found = listed(&slot.bytes).any(|(owner, _)| owner == token);
            let left = (!others.is_empty())
                .then(|| Slot { bytes: intents(b'1', &others), expires_at: slot.expires_at });
            (left, !found)
        }
    }
}

fn flag_of(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'W', flag, ..] => Some(*flag),
        [b'W'] => Some(b'0'),
        _ => None,
    }
}

/// The other owners that are still alive.
fn owners(bytes: &[u8], token: &Token, now: u64) -> Vec<(Token, u64)> {
    let alive = |deadline| deadline > now && deadline <= now.saturating_add(MAX_LIFETIME_MS);
    listed(bytes).filter(|(owner, deadline)| owner != token && alive(*deadline)).collect()
}

// A deadline that is no number counts as passed; a cut owner does not count at all.
fn listed(bytes: &[u8]) -> impl Iterator<Item = (Token, u64)> {
    bytes.get(2..).unwrap_or_default().chunks_exact(OWNER).filter_map(|owner| {
        let (token, deadline) = owner.split_first_chunk()?;
        let digits = deadline.iter().all(u8::is_ascii_digit).then_some(deadline)?;
        Some((*token, std::str::from_utf8(digits).ok()?.parse().ok()?))
    })
}

fn intents(flag: u8, owners: &[(Token, u64)]) -> Vec<u8> {
    let mut out = vec![b'W', flag];
    for (token, deadline) in owners {
        out.extend(token);
        out.extend(format!("{deadline:013}").bytes());
    }
    out
}

/// What a reader makes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight<'e> {
    /// A row of this life of the store and this schema.
    Hit {
        /// What it says about itself.
        meta: Meta,
        /// The encoded row.
        payload: &'e [u8],
        /// Its token.
        token: Token,
    },
    /// No row has this key, in this life of the store and this schema.
    Absent,
    /// Nothing: take the lease.
    Vacant,
    /// Something of no use: replace it by a lease if it still stands there.
    Replace {
        /// What must still stand there.
        expect: Vec<u8>,
    },
    /// A write is under way, or another reader fills: ask the database and do not fill.
    Busy,
}

/// What a reader makes of what it found.
#[must_use]
pub fn look(found: Option<&[u8]>, epoch: Epoch, fingerprint: u64) -> Sight<'_> {
    let Some(bytes) = found else { return Sight::Vacant };
    match entry::parse(bytes) {
        Entry::Value { epoch: of, meta, payload, token }
            if of == epoch && meta.fingerprint == fingerprint =>
        {
            Sight::Hit { meta, payload, token }
        }
        Entry::Absent { epoch: of, fingerprint: written } if of == epoch && written == fingerprint => {
            Sight::Absent
        }
        Entry::Value { .. } | Entry::Absent { .. } => {
            Sight::Replace { expect: bytes.iter().take(HEADER).copied().collect() }
        }
        Entry::Lease { .. } | Entry::Intents => Sight::Busy,
        Entry::Pointer { .. } | Entry::Foreign => Sight::Replace { expect: bytes.to_vec() },
    }
}

/// Whether a hit should ask the database already, so that a row which is read often never expires under its readers.
///
/// Optimal probabilistic early expiration (Vattani, Chierichetti, Lowenstein, VLDB 2015): the nearer the end and the
/// longer the load, the likelier. `beta` is 1 by the paper, more asks earlier; `random` lies in `0.0..1.0`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit in 53 bits")]
pub fn is_refresh_due(meta: Meta, now_ms: u64, beta: f64, random: f64) -> bool {
    if meta.soft_expiry_ms == 0 {
        return false;
    }
    let early_ms = -(f64::from(meta.load_cost_us) / 1000.0) * beta * random.max(f64::MIN_POSITIVE).ln();
    now_ms as f64 + early_ms >= meta.soft_expiry_ms as f64
}

/// What a reader makes of the answer to its lease. Its own lease standing there is a grant: the batch was
/// sent twice.
#[must_use]
pub fn after_lease<'e>(previous: Option<&'e [u8]>, own: &Token, epoch: Epoch, fingerprint: u64) -> Sight<'e> {
    match previous {
        Some(bytes) if bytes == entry::lease(*own) => Sight::Vacant,
        other => look(other, epoch, fingerprint),
    }
}

#[cfg(test)]
mod tests;
