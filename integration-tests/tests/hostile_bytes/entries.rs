//! The entry parser, and the steps of the protocol on whatever stands under a key.
use crate::harm::{harmed_one_of, hold};
use model_runtime::cache::entry::{self, Entry, Epoch, HEADER, Meta, Token};
use model_runtime::cache::protocol::{self, Sight, Slot};
use proptest::prelude::*;

const NOW: u64 = 1_000_000_000_000;
/// No cache is built with a longer life of anything.
const DAY_MS: u64 = 86_400_000;
const EPOCH: Epoch = Epoch(1);
const FINGERPRINT: u64 = 7;
const OWNER: usize = 29;

fn intents() -> impl Strategy<Value = Vec<u8>> {
    let deadline = prop_oneof![Just(9_999_999_999_999), Just(0), NOW - 10..NOW + 10, NOW..NOW + DAY_MS,];
    let owner = (1_u8..20, deadline)
        .prop_map(|(token, deadline)| [&[token; 16][..], format!("{deadline:013}").as_bytes()].concat());
    let flag = prop_oneof![4 => prop::sample::select(b"012".to_vec()), 1 => any::<u8>()];
    (flag, prop::collection::vec(owner, 0..20))
        .prop_map(|(flag, owners)| [&[b'W', flag][..], &owners.concat()].concat())
}

fn known() -> Vec<Vec<u8>> {
    let meta = Meta { fingerprint: FINGERPRINT, load_cost_us: 8, soft_expiry_ms: u64::MAX };
    vec![
        entry::value(EPOCH, [3; 16], meta, b"row"),
        entry::value(EPOCH, [3; 16], Meta { fingerprint: 8, ..meta }, b"row"),
        entry::value(Epoch(2), [3; 16], meta, b"row"),
        entry::absent(EPOCH, [3; 16], FINGERPRINT),
        entry::lease([3; 16]),
        entry::pointer("target"),
        b"W2".to_vec(),
        [b"W1".as_slice(), &[7; 16], b"9999999999999", &[8; 16], b"0999999999999"].concat(),
    ]
}

fn slots() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::sample::select(known()),
        4 => harmed_one_of(known()),
        4 => intents(),
        2 => intents().prop_flat_map(|bytes| harmed_one_of(vec![bytes])),
    ]
}

/// Nothing of another life or another schema is ever served.
fn assert_own(bytes: &[u8], sight: &Sight<'_>) -> Result<(), TestCaseError> {
    match (sight, bytes.split_first()) {
        (Sight::Hit { meta, payload, token }, Some((b'V', rest))) => {
            prop_assert_eq!(&rest[..8], &EPOCH.0.to_be_bytes());
            prop_assert_eq!(&rest[8..24], token);
            prop_assert_eq!(&rest[24..32], &FINGERPRINT.to_be_bytes());
            prop_assert_eq!((meta.fingerprint, *payload), (FINGERPRINT, &rest[44..]));
        }
        (Sight::Absent, Some((b'N', rest))) => {
            let own = [&EPOCH.0.to_be_bytes(), &rest[8..24], &FINGERPRINT.to_be_bytes()].concat();
            prop_assert_eq!(rest, &own[..]);
        }
        (Sight::Hit { .. } | Sight::Absent, _) => prop_assert!(false, "{:?} is served", bytes),
        (Sight::Replace { expect }, _) => {
            prop_assert!(bytes.starts_with(expect));
            prop_assert!(expect.len() == bytes.len() || expect.len() == HEADER);
        }
        (Sight::Busy, first) => prop_assert!(matches!(first, Some((b'L' | b'W', _)))),
        (Sight::Vacant, _) => prop_assert!(false, "something stands there"),
    }
    Ok(())
}

#[test]
fn any_bytes_are_an_entry_or_a_foreign_one() {
    hold(3000, &slots(), |bytes| {
        match entry::parse(&bytes) {
            Entry::Value { epoch, token, meta, payload } => {
                prop_assert_eq!(entry::value(epoch, token, meta, payload), bytes);
            }
            Entry::Absent { epoch, fingerprint } => {
                let token: Token = bytes[9..HEADER].try_into().unwrap();
                prop_assert_eq!(entry::absent(epoch, token, fingerprint), bytes);
            }
            Entry::Lease { token } => prop_assert_eq!(entry::lease(token), bytes),
            Entry::Pointer { target } => prop_assert_eq!(entry::pointer(target), bytes),
            Entry::Intents => prop_assert_eq!(bytes[0], b'W'),
            Entry::Foreign => {}
        }
        Ok(())
    });
}

#[test]
fn any_bytes_are_served_only_in_their_own_life_and_schema() {
    hold(3000, &slots(), |bytes| {
        assert_own(&bytes, &protocol::look(Some(&bytes), EPOCH, FINGERPRINT))?;
        if bytes != entry::lease([9; 16]) {
            assert_own(&bytes, &protocol::after_lease(Some(&bytes), &[9; 16], EPOCH, FINGERPRINT))?;
        }
        Ok(())
    });
}

fn lists(slot: &Slot, token: Token) -> bool {
    let owners = slot.bytes.get(2..).unwrap_or_default();
    slot.bytes.starts_with(b"W") && owners.chunks_exact(OWNER).any(|owner| owner.starts_with(&token))
}

#[test]
fn any_bytes_take_an_intent_and_give_it_back() {
    let token = prop_oneof![(1_u8..20).prop_map(|token| [token; 16]), any::<Token>()];
    // Time to live, lifetime of the intent, and when it is given back.
    let times = (prop_oneof![0..DAY_MS, any::<u64>()], 1..DAY_MS, prop_oneof![0..2 * DAY_MS, any::<u64>()]);
    hold(3000, &(slots(), token, times), |(bytes, token, (ttl, lifetime, later))| {
        let slot = Some(Slot { bytes, expires_at: NOW.saturating_add(ttl) });
        let placed = protocol::place(slot, token, lifetime, NOW);
        prop_assert!(placed.expires_at >= NOW + lifetime);
        prop_assert!(placed.expires_at <= NOW + DAY_MS, "forged deadlines hold nothing back");
        prop_assert!(placed.bytes.len() <= 2 + OWNER * protocol::MAX_OWNERS);
        let anonymous = placed.bytes == b"W2";
        prop_assert!(anonymous || lists(&placed, token));
        prop_assert_eq!(protocol::look(Some(&placed.bytes), EPOCH, FINGERPRINT), Sight::Busy);
        let again = protocol::place(Some(placed.clone()), token, lifetime, NOW);
        prop_assert_eq!(again.bytes.len(), placed.bytes.len(), "placing twice is placing once");
        let (left, lost) = protocol::release(Some(placed.clone()), token, NOW + lifetime - 1);
        prop_assert!(!lost, "it was there");
        prop_assert!(!left.is_some_and(|left| lists(&left, token)));
        let (left, _) = protocol::release(Some(placed), token, NOW.saturating_add(later));
        prop_assert!(!left.is_some_and(|left| lists(&left, token)), "however late");
        Ok(())
    });
}

#[test]
fn any_bytes_are_overwritten_only_by_what_expects_them() {
    let expect = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3),
        prop::sample::select(known()),
        prop::sample::select(known()).prop_map(|bytes| bytes.into_iter().take(HEADER).collect()),
    ];
    hold(3000, &(slots(), expect, any::<u64>(), any::<u64>()), |(bytes, expect, ttl, now)| {
        let slot = Slot { bytes: bytes.clone(), expires_at: u64::MAX };
        let stands = |left: &Option<Slot>| left.as_ref().is_some_and(|left| left.bytes == bytes);
        let now = now.min(u64::MAX - 1);

        let (left, stood) = protocol::lease(Some(slot.clone()), [9; 16], ttl, now);
        prop_assert!(stands(&left) && stood.as_ref() == Some(&bytes));
        let (left, done) = protocol::swap(Some(slot.clone()), &expect, b"new".to_vec(), ttl, now);
        prop_assert!(stands(&left) || done && bytes.starts_with(&expect));
        let (left, done) = protocol::point(Some(slot.clone()), "t", ttl, now);
        prop_assert_eq!(done, !matches!(bytes.first(), Some(b'L' | b'W')));
        prop_assert!(stands(&left) || done && left.is_some_and(|left| left.bytes == b"Pt"));
        let (left, done) = protocol::unpoint(Some(slot.clone()), "target", now);
        prop_assert_eq!(done, bytes == b"Ptarget");
        prop_assert!(stands(&left) || done && left.is_none());
        // What a reader would replace can be replaced.
        if let Sight::Replace { expect } = protocol::look(Some(&bytes), EPOCH, FINGERPRINT) {
            prop_assert!(
                protocol::swap(Some(slot), &expect, entry::lease([9; 16]), ttl, now).1,
                "{:?}",
                expect
            );
        }
        Ok(())
    });
}
