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
fn an_empty_entry_is_replaced() {
    let Sight::Replace { expect } = look(Some(b""), Epoch(1), 7) else { panic!("it is of no use") };
    assert_eq!(swap(slot(b"", 9), &expect, entry::lease(A), 9, NOW), (slot(&entry::lease(A), 9), true));
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
    assert_eq!(release(Some(held.clone()), [3; 16], NOW), (Some(held.clone()), false), "nobody is listed");
    let longer = place(Some(held), A, 30_000, NOW);
    assert_eq!((longer.bytes.as_slice(), longer.expires_at), (&b"W2"[..], NOW + 30_000));
}

#[test]
fn broken_intents_do_no_harm() {
    for bytes in
        [&b"W"[..], b"W0", b"W0short", b"W1aaaaaaaaaaaaaaaaxxxxxxxxxxxxx", b"W1aaaaaaaaaaaaaaaa 123456789012"]
    {
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
    let absent = entry::absent(Epoch(1), A, 7);
    assert_eq!(look(Some(&absent), Epoch(1), 7), Sight::Absent);
    assert_eq!(look(Some(&absent), Epoch(2), 7), Sight::Replace { expect: absent[..HEADER].to_vec() });
    assert_eq!(look(Some(&absent), Epoch(1), 8), Sight::Replace { expect: absent[..HEADER].to_vec() });
    assert_eq!(look(None, Epoch(1), 7), Sight::Vacant);
    assert_eq!(look(Some(b"W0"), Epoch(1), 7), Sight::Busy);
    assert_eq!(look(Some(&entry::lease(B)), Epoch(1), 7), Sight::Busy);
    assert_eq!(look(Some(b"garbage"), Epoch(1), 7), Sight::Replace { expect: b"garbage".to_vec() });
    assert_eq!(after_lease(Some(&entry::lease(A)), &A, Epoch(1), 7), Sight::Vacant);
    assert_eq!(after_lease(Some(&entry::lease(B)), &A, Epoch(1), 7), Sight::Busy);
}

#[test]
fn a_refresh_is_likelier_near_the_end_and_for_costly_rows() {
    let meta = Meta { fingerprint: 7, load_cost_us: 100_000, soft_expiry_ms: NOW };
    assert!(is_refresh_due(meta, NOW, 1.0, 0.999), "at the end always");
    assert!(!is_refresh_due(meta, NOW - 60_000, 1.0, 0.5));
    assert!(is_refresh_due(meta, NOW - 60, 1.0, 0.5), "69 ms ahead of the end at the median");
    assert!(!is_refresh_due(meta, NOW - 80, 1.0, 0.5));
    assert!(!is_refresh_due(Meta { load_cost_us: 1000, ..meta }, NOW - 60, 1.0, 0.5), "cheap rows later");
    assert!(!is_refresh_due(Meta { soft_expiry_ms: 0, ..meta }, NOW, 1.0, 0.0), "never");
    assert!(!is_refresh_due(meta, NOW - 1, 0.0, 0.0), "switched off");
}
