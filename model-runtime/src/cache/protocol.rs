//! The decisions of the cache: pure functions without I/O, clock or randomness.
//!
//! The memory store runs this text, the Lua scripts of the Redis store mirror it function by function, and
//! the conformance suite holds the two against each other. `now` and deadlines are milliseconds of the
//! store's own clock.
use super::entry::{self, Entry, Epoch, HEADER, Meta, Token};

/// More owners than this are not listed; their intents become one anonymous hold, because an unbounded list
/// makes contended writes quadratic.
pub const MAX_OWNERS: usize = 16;
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
        /// What must stand there; empty never matches.
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
        Some(slot) if !expect.is_empty() && slot.bytes.starts_with(expect) => {
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
            expires_at = expires_at.max(slot.expires_at);
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
    listed(bytes).filter(|(owner, deadline)| owner != token && *deadline > now).collect()
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
        Entry::Value { .. } => Sight::Replace { expect: bytes.iter().take(HEADER).copied().collect() },
        Entry::Lease { .. } | Entry::Intents => Sight::Busy,
        Entry::Pointer { .. } | Entry::Foreign => Sight::Replace { expect: bytes.to_vec() },
    }
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
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000_000;
    const A: Token = [1; 16];
    const B: Token = [2; 16];

    #[allow(clippy::unnecessary_wraps, reason = "what every step takes")]
    fn slot(bytes: &[u8], ttl: u64) -> Option<Slot> {
        Some(Slot { bytes: bytes.to_vec(), expires_at: NOW + ttl })
    }

    #[test]
    fn a_lease_is_granted_once() {
        let (granted, stood) = lease(None, A, 3000, NOW);
        assert_eq!(stood, None);
        let (kept, stood) = lease(granted.clone(), B, 3000, NOW);
        assert_eq!((kept, stood), (granted.clone(), Some(entry::lease(A))));
        let (_, stood) = lease(granted, B, 3000, NOW + 3000);
        assert_eq!(stood, None, "expired");
    }

    #[test]
    fn a_fill_needs_its_own_lease() {
        let (leased, _) = lease(None, A, 3000, NOW);
        assert!(!swap(leased.clone(), &entry::lease(B), b"V".to_vec(), 9, NOW).1);
        assert!(!swap(leased.clone(), b"", b"V".to_vec(), 9, NOW).1);
        assert!(!swap(None, b"", b"V".to_vec(), 9, NOW).1);
        assert_eq!(swap(leased, &entry::lease(A), b"V".to_vec(), 9, NOW), (slot(b"V", 9), true));
    }

    #[test]
    fn intents_take_everything_away_and_wait_for_each_other() {
        let first = place(slot(b"V....", 60_000), A, 10_000, NOW);
        assert_eq!(first.bytes[..2], *b"W0");
        assert!(!swap(Some(first.clone()), b"V", b"V".to_vec(), 9, NOW).1, "a refresh is refused");
        let both = place(Some(first), B, 20_000, NOW + 1);
        assert_eq!((&both.bytes[..2], both.expires_at), (&b"W1"[..], NOW + 20_001));
        let (left, lost) = release(Some(both), A, NOW + 2);
        assert!(!lost);
        let (left, lost) = release(left, B, NOW + 3);
        assert_eq!((left, lost), (None, false));
    }

    #[test]
    fn a_dead_intent_is_dropped() {
        let dead = place(None, A, 10, NOW);
        let mut kept = dead.clone();
        kept.expires_at = NOW + 60_000;
        let mine = place(Some(kept), B, 10_000, NOW + 11);
        assert_eq!(release(Some(mine), B, NOW + 12), (None, false));
        assert_eq!(release(Some(dead), A, NOW + 11), (None, true), "expired with its slot");
    }

    #[test]
    fn placing_twice_is_placing_once() {
        let once = place(None, A, 10_000, NOW);
        let twice = place(Some(once.clone()), A, 10_000, NOW);
        assert_eq!(once, twice);
    }

    #[test]
    fn release_heals_what_was_filled_after_the_intent_was_lost() {
        assert_eq!(release(slot(b"V....", 60_000), A, NOW), (None, true));
        assert_eq!(release(slot(&entry::lease(B), 3000), A, NOW), (None, true));
        assert_eq!(release(None, A, NOW), (None, true));
        let others = place(None, B, 10_000, NOW);
        let (left, lost) = release(Some(others), A, NOW);
        assert!(lost && left.is_some(), "another's intent stays");
    }

    #[test]
    fn too_many_owners_become_one_anonymous_hold() {
        let mut held = None;
        for owner in 0..=16_u8 {
            held = Some(place(held, [owner; 16], 10_000 + u64::from(owner), NOW));
        }
        let held = held.unwrap();
        assert_eq!((held.bytes.as_slice(), held.expires_at), (&b"W2"[..], NOW + 10_016));
        assert_eq!(
            release(Some(held.clone()), [3; 16], NOW),
            (Some(held.clone()), false),
            "nobody is listed"
        );
        let longer = place(Some(held), A, 30_000, NOW);
        assert_eq!((longer.bytes.as_slice(), longer.expires_at), (&b"W2"[..], NOW + 30_000));
    }

    #[test]
    fn broken_intents_do_no_harm() {
        for bytes in [
            &b"W"[..],
            b"W0",
            b"W0short",
            b"W1aaaaaaaaaaaaaaaaxxxxxxxxxxxxx",
            b"W1aaaaaaaaaaaaaaaa 123456789012",
        ] {
            let placed = place(slot(bytes, 60_000), A, 10_000, NOW);
            assert_eq!(release(Some(placed), A, NOW), (None, false), "{bytes:?}");
        }
    }

    #[test]
    fn a_pointer_never_replaces_a_lease_or_an_intent() {
        assert_eq!(point(None, "row", 9, NOW), (slot(b"Prow", 9), true));
        assert_eq!(point(slot(b"Pold", 5), "row", 9, NOW), (slot(b"Prow", 9), true));
        let leased = slot(&entry::lease(A), 5);
        assert_eq!(point(leased.clone(), "row", 9, NOW), (leased, false));
        assert!(!unpoint(slot(b"Pother", 9), "row", NOW).1);
        assert_eq!(unpoint(slot(b"Prow", 9), "row", NOW), (None, true));
    }

    #[test]
    fn a_reader_tells_four_things_apart() {
        let meta = Meta { fingerprint: 7, load_cost_us: 0, soft_expiry_ms: 0 };
        let bytes = entry::value(Epoch(1), A, meta, b"row");
        assert_eq!(look(Some(&bytes), Epoch(1), 7), Sight::Hit { meta, payload: b"row", token: A });
        let header = bytes[..HEADER].to_vec();
        assert_eq!(look(Some(&bytes), Epoch(2), 7), Sight::Replace { expect: header.clone() });
        assert_eq!(look(Some(&bytes), Epoch(1), 8), Sight::Replace { expect: header });
        assert_eq!(look(None, Epoch(1), 7), Sight::Vacant);
        assert_eq!(look(Some(b"W0"), Epoch(1), 7), Sight::Busy);
        assert_eq!(look(Some(&entry::lease(B)), Epoch(1), 7), Sight::Busy);
        assert_eq!(look(Some(b"garbage"), Epoch(1), 7), Sight::Replace { expect: b"garbage".to_vec() });
        assert_eq!(after_lease(Some(&entry::lease(A)), &A, Epoch(1), 7), Sight::Vacant);
        assert_eq!(after_lease(Some(&entry::lease(B)), &A, Epoch(1), 7), Sight::Busy);
    }
}
