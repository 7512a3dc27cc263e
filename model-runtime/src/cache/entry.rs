//! The wire format: what one key of the store holds.
//!
//! ```text
//! V | epoch 8 | token 16 | fingerprint 8 | load cost 4 | soft expiry 8 | payload     a row
//! N | epoch 8 | token 16 | fingerprint 8                                            no row has this key
//! L | token 16                                                                       a fill lease
//! W | flag | (token 16, deadline 13)*                                                intents of live writers
//! P | key of the row                                                                 a pointer
//! ```
//! Numbers are big-endian. Nothing here trusts a length from outside, and nothing panics.
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

/// Names one lease, one value or one write; never used twice.
pub type Token = [u8; 16];

/// How many bytes of a value identify it: the letter, the epoch and the token.
pub const HEADER: usize = 25;
const META: usize = 20;

/// Which life of the store an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// What a value says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Of the schema and codec that wrote it.
    pub fingerprint: u64,
    /// How long the database took, in microseconds.
    pub load_cost_us: u32,
    /// When to refresh ahead, in milliseconds since 1970; 0 for never.
    pub soft_expiry_ms: u64,
}

/// A parsed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'e> {
    /// A row.
    Value {
        /// The life of the store it was leased in.
        epoch: Epoch,
        /// Its own token.
        token: Token,
        /// What it says about itself.
        meta: Meta,
        /// The encoded row.
        payload: &'e [u8],
    },
    /// No row has this key.
    Absent {
        /// The life of the store it was leased in.
        epoch: Epoch,
        /// Of the schema that wrote it.
        fingerprint: u64,
    },
    /// A reader is asking the database.
    Lease {
        /// The reader's token.
        token: Token,
    },
    /// Writers are at work.
    Intents,
    /// The row with this unique value is under another key.
    Pointer {
        /// The row's key.
        target: &'e str,
    },
    /// Nothing this version knows.
    Foreign,
}

/// Reads an entry; whatever it cannot read is [`Entry::Foreign`].
#[must_use]
pub fn parse(bytes: &[u8]) -> Entry<'_> {
    parsed(bytes).unwrap_or(Entry::Foreign)
}

fn parsed(bytes: &[u8]) -> Option<Entry<'_>> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        b'V' => {
            let (epoch, rest) = rest.split_first_chunk()?;
            let (token, rest) = rest.split_first_chunk()?;
            let (fingerprint, rest) = rest.split_first_chunk()?;
            let (load_cost, rest) = rest.split_first_chunk()?;
            let (soft_expiry, payload) = rest.split_first_chunk()?;
            let meta = Meta {
                fingerprint: u64::from_be_bytes(*fingerprint),
                load_cost_us: u32::from_be_bytes(*load_cost),
                soft_expiry_ms: u64::from_be_bytes(*soft_expiry),
            };
            Some(Entry::Value { epoch: Epoch(u64::from_be_bytes(*epoch)), token: *token, meta, payload })
        }
        b'N' => {
            let (epoch, rest) = rest.split_first_chunk()?;
            let (_, rest) = rest.split_first_chunk::<16>()?;
            let fingerprint = u64::from_be_bytes(rest.try_into().ok()?);
            Some(Entry::Absent { epoch: Epoch(u64::from_be_bytes(*epoch)), fingerprint })
        }
        b'L' => Some(Entry::Lease { token: rest.try_into().ok()? }),
        b'W' => Some(Entry::Intents),
        b'P' => Some(Entry::Pointer { target: std::str::from_utf8(rest).ok()? }),
        _ => None,
    }
}

/// A row.
#[must_use]
pub fn value(epoch: Epoch, token: Token, meta: Meta, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + META + payload.len());
    out.push(b'V');
    out.extend(epoch.0.to_be_bytes());
    out.extend(token);
    out.extend(meta.fingerprint.to_be_bytes());
    out.extend(meta.load_cost_us.to_be_bytes());
    out.extend(meta.soft_expiry_ms.to_be_bytes());
    out.extend(payload);
    out
}

/// That no row has the key.
#[must_use]
pub fn absent(epoch: Epoch, token: Token, fingerprint: u64) -> Vec<u8> {
    [b"N".as_slice(), &epoch.0.to_be_bytes(), &token, &fingerprint.to_be_bytes()].concat()
}

/// A fill lease.
#[must_use]
pub fn lease(token: Token) -> Vec<u8> {
    [b"L".as_slice(), &token].concat()
}

/// A pointer to the row under the key `target`.
#[must_use]
pub fn pointer(target: &str) -> Vec<u8> {
    [b"P", target.as_bytes()].concat()
}

thread_local! {
    // Seeded from the operating system's randomness through `RandomState`, and from what tells processes,
    // threads and moments apart.
    static TOKENS: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::with_seed(seed()));
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now();
    RandomState::new().hash_one((std::process::id(), std::thread::current().id(), now))
}

/// A token that was never used.
#[must_use]
pub fn new_token() -> Token {
    // Half of it counts in this process, so that tokens differ even where the generators meet.
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let random = TOKENS.with_borrow_mut(|rng| rng.u64(..));
    let mark = process_mark().wrapping_add(count);
    let mut token = [0; 16];
    token[..8].copy_from_slice(&random.to_be_bytes());
    token[8..].copy_from_slice(&mark.to_be_bytes());
    token
}

fn process_mark() -> u64 {
    static MARK: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *MARK.get_or_init(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let meta = Meta { fingerprint: 7, load_cost_us: 8, soft_expiry_ms: 9 };
        let token = new_token();
        let bytes = value(Epoch(3), token, meta, b"row");
        assert_eq!(parse(&bytes), Entry::Value { epoch: Epoch(3), token, meta, payload: b"row" });
        assert_eq!(parse(&lease(token)), Entry::Lease { token });
        assert_eq!(parse(&absent(Epoch(3), token, 7)), Entry::Absent { epoch: Epoch(3), fingerprint: 7 });
        assert_eq!(parse(&absent(Epoch(3), token, 7)[..30]), Entry::Foreign);
        assert_eq!(parse(&pointer("a:b")), Entry::Pointer { target: "a:b" });
        assert_eq!(bytes[..HEADER], value(Epoch(3), token, Meta { fingerprint: 0, ..meta }, b"")[..HEADER]);
    }

    #[test]
    fn every_prefix_and_every_garbage_is_read_without_panic() {
        let meta = Meta { fingerprint: 7, load_cost_us: 8, soft_expiry_ms: 9 };
        let bytes = value(Epoch(3), new_token(), meta, b"row");
        for end in 0..HEADER + META {
            assert_eq!(parse(&bytes[..end]), Entry::Foreign);
        }
        for first in 0..=255 {
            let _ = parse(&[first, 0xff, 0xfe]);
        }
        assert_eq!(parse(b"L123"), Entry::Foreign);
        assert_eq!(parse(b"P\xff"), Entry::Foreign);
        assert_eq!(parse(b""), Entry::Foreign);
    }

    #[test]
    fn tokens_differ() {
        let tokens: std::collections::HashSet<_> = (0..10_000).map(|_| new_token()).collect();
        assert_eq!(tokens.len(), 10_000);
    }
}
