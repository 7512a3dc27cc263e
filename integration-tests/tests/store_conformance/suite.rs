//! What every store must do, each step on a key of its own.
use model_runtime::cache::entry::{self, Epoch, HEADER, Meta, Token};
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::store::Store;

pub(crate) const LONG: u64 = 60_000;
pub(crate) const A: Token = [1; 16];
pub(crate) const B: Token = [2; 16];
pub(crate) const C: Token = [3; 16];

pub(crate) fn ask(store: &dyn Store, command: Command) -> Reply {
    let mut answer = store.call(&[command]).unwrap();
    assert_eq!(answer.replies.len(), 1);
    answer.replies.remove(0)
}

pub(crate) fn get(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    match ask(store, Command::Get { key: key.into() }) {
        Reply::Entry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn lease(store: &dyn Store, key: &str, token: Token) -> Option<Vec<u8>> {
    match ask(store, Command::Lease { key: key.into(), token, ttl_ms: LONG }) {
        Reply::Entry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn done(store: &dyn Store, command: Command) -> bool {
    match ask(store, command) {
        Reply::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn swap(key: &str, expect: &[u8], new: &[u8]) -> Command {
    Command::Swap { key: key.into(), expect: expect.into(), new: new.into(), ttl_ms: LONG }
}

pub(crate) fn point(pointer: &str, target: &str) -> Command {
    Command::Point { pointer: pointer.into(), target: target.into(), ttl_ms: LONG }
}

pub(crate) fn unpoint(pointer: &str, target: &str) -> Command {
    Command::Unpoint { pointer: pointer.into(), target: target.into() }
}

pub(crate) fn place(key: &str, token: Token) -> Command {
    Command::Place { key: key.into(), token, lifetime_ms: LONG }
}

pub(crate) fn release(key: &str, token: Token) -> Command {
    Command::Release { key: key.into(), token }
}

pub(crate) fn row(payload: &[u8]) -> Vec<u8> {
    entry::value(Epoch(1), A, Meta { fingerprint: 1, load_cost_us: 2, soft_expiry_ms: 3 }, payload)
}

/// What every store must do, each step on a key of its own.
pub(crate) fn suite(store: &dyn Store) {
    a_lease_is_granted_once_and_fills_once(store);
    a_fill_replaces_by_prefix(store);
    intents_refuse_fills_until_the_last_release(store);
    release_deletes_what_was_filled_after_a_loss(store);
    more_than_sixteen_owners_are_one_hold(store);
    pointers_yield_to_leases_and_intents(store);
    a_pointer_is_followed_in_one_step(store);
    a_batch_is_answered_in_order(store);
    many_keys_are_answered_one_by_one(store);
    any_bytes_are_kept(store);
    a_scan_finds_the_keys_of_a_prefix_and_no_others(store);
}

pub(crate) fn a_lease_is_granted_once_and_fills_once(store: &dyn Store) {
    assert_eq!(lease(store, "a", A), None);
    assert_eq!(lease(store, "a", B), Some(entry::lease(A)));
    assert!(!done(store, swap("a", &entry::lease(B), &row(b"b"))));
    assert!(!done(store, swap("a", b"", &row(b"b"))), "an empty expectation matches no lease");
    assert!(done(store, swap("a", &entry::lease(A), &row(b"a"))));
    assert!(!done(store, swap("a", &entry::lease(A), &row(b"a"))), "the lease is used up");
    assert_eq!(get(store, "a"), Some(row(b"a")));
    assert_eq!(lease(store, "a", B), Some(row(b"a")), "what stands there is shown");
}

pub(crate) fn a_scan_finds_the_keys_of_a_prefix_and_no_others(store: &dyn Store) {
    // What a pattern of Redis would read as its own signs.
    let prefix = "scan[a-z]*?\\:";
    let key = |n: i32| format!("{prefix}{n}");
    for n in 0..3000 {
        done(store, Command::Point { pointer: key(n), target: "t".into(), ttl_ms: LONG });
    }
    for stranger in ["scana:1", "scan[a-z]*?:1", "scan[a-z]xx\\:1"] {
        done(store, point(stranger, "t"));
    }
    let (mut found, mut cursor) = (std::collections::BTreeSet::new(), 0);
    loop {
        let Reply::Page { next, keys } = ask(store, Command::Scan { prefix: prefix.into(), cursor }) else {
            panic!("no page")
        };
        found.extend(keys);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(found, (0..3000).map(key).collect());
}

pub(crate) fn a_fill_replaces_by_prefix(store: &dyn Store) {
    assert!(!done(store, swap("b", b"V", b"Vx")), "nothing stands there");
    assert!(!done(store, swap("b", b"", b"Vx")), "nothing is no empty entry");
    lease(store, "b", A);
    done(store, swap("b", &entry::lease(A), &row(b"1")));
    assert!(done(store, swap("b", &row(b"1")[..HEADER], &row(b"2"))));
    assert!(!done(store, swap("b", &row(b"long, longer"), &row(b"3"))), "longer than what stands there");
    assert_eq!(get(store, "b"), Some(row(b"2")));
    assert!(!done(store, swap("b", b"", &row(b"3"))), "it is not empty");
    assert!(done(store, swap("b", &row(b"2"), b"")));
    assert!(done(store, swap("b", b"", &row(b"3"))), "it is empty");
    assert_eq!(get(store, "b"), Some(row(b"3")));
}

pub(crate) fn intents_refuse_fills_until_the_last_release(store: &dyn Store) {
    lease(store, "c", A);
    assert!(done(store, place("c", A)));
    assert!(done(store, place("c", B)));
    assert!(done(store, place("c", B)), "twice is once");
    assert!(!done(store, swap("c", &entry::lease(A), &row(b"stale"))));
    assert!(!done(store, release("c", A)), "found");
    assert!(lease(store, "c", A).is_some_and(|entry| entry.starts_with(b"W1")));
    assert!(!done(store, release("c", B)), "found");
    assert_eq!(get(store, "c"), None);
}

pub(crate) fn release_deletes_what_was_filled_after_a_loss(store: &dyn Store) {
    assert!(done(store, release("d", A)), "the intent had been lost");
    lease(store, "d", B);
    assert!(done(store, release("d", A)));
    assert_eq!(get(store, "d"), None, "a lease goes");
    lease(store, "d", B);
    done(store, swap("d", &entry::lease(B), &row(b"stale")));
    assert!(done(store, release("d", A)));
    assert_eq!(get(store, "d"), None, "a value goes");
    done(store, place("d", B));
    assert!(done(store, release("d", A)));
    assert!(get(store, "d").is_some(), "another's intent stays");
}

pub(crate) fn more_than_sixteen_owners_are_one_hold(store: &dyn Store) {
    for owner in 0..16 {
        done(store, place("e", [owner; 16]));
    }
    assert!(get(store, "e").is_some_and(|entry| entry.starts_with(b"W1") && entry.len() == 2 + 16 * 29));
    done(store, place("e", [16; 16]));
    assert_eq!(get(store, "e").as_deref(), Some(b"W2".as_slice()));
    assert!(!done(store, release("e", [3; 16])));
    done(store, place("e", [17; 16]));
    assert_eq!(get(store, "e").as_deref(), Some(b"W2".as_slice()), "until it expires");
    let longer = [b"W2".as_slice(), &A, b"9999999999999"].concat();
    assert!(done(store, swap("e", b"W2", &longer)));
    assert!(!done(store, release("e", A)));
    assert_eq!(get(store, "e"), Some(longer), "whatever follows");
}

pub(crate) fn pointers_yield_to_leases_and_intents(store: &dyn Store) {
    assert!(done(store, point("f", "row")));
    assert!(done(store, point("f", "other")));
    assert!(!done(store, unpoint("f", "row")));
    assert!(done(store, unpoint("f", "other")));
    assert_eq!(get(store, "f"), None);
    lease(store, "f", A);
    assert!(!done(store, point("f", "row")));
    done(store, place("f", A));
    assert!(!done(store, point("f", "row")));
    assert!(!done(store, unpoint("f", "row")));
}

pub(crate) fn a_pointer_is_followed_in_one_step(store: &dyn Store) {
    let deref = || ask(store, Command::Deref { pointer: "g".into() });
    assert_eq!(deref(), Reply::Pair { pointer: None, row: None });
    done(store, point("g", "g-row"));
    assert_eq!(deref(), Reply::Pair { pointer: Some(entry::pointer("g-row")), row: None });
    lease(store, "g-row", A);
    assert_eq!(deref(), Reply::Pair { pointer: Some(entry::pointer("g-row")), row: Some(entry::lease(A)) });
    done(store, unpoint("g", "g-row"));
    lease(store, "g", B);
    assert_eq!(deref(), Reply::Pair { pointer: Some(entry::lease(B)), row: None });
}

pub(crate) fn a_batch_is_answered_in_order(store: &dyn Store) {
    let answer =
        store.call(&[place("h", A), Command::Get { key: "h".into() }, release("h", A), release("h", A)]);
    let replies = answer.unwrap().replies;
    assert!(matches!(
        &replies[..],
        [Reply::Done(true), Reply::Entry(Some(_)), Reply::Done(false), Reply::Done(true)]
    ));
}

pub(crate) fn many_keys_are_answered_one_by_one(store: &dyn Store) {
    let keys: Vec<_> = (0..700).map(|n| format!("j{n}")).collect();
    let batch = |command: fn(&str) -> Command| -> Vec<Reply> {
        let batch: Vec<_> = keys.iter().map(|key| command(key)).collect();
        store.call(&batch).unwrap().replies
    };
    assert!(done(store, place("j300", B)));
    assert_eq!(batch(|key| place(key, A)), vec![Reply::Done(true); 700]);
    assert!(!done(store, release("j0", A)), "found");
    assert_eq!(lease(store, "j600", C), get(store, "j600"), "refused");
    let entries = batch(|key| Command::Get { key: key.into() });
    for (n, entry) in entries.iter().enumerate() {
        let Reply::Entry(entry) = entry else { panic!("{entry:?}") };
        let length = match n {
            0 => None,
            300 => Some(2 + 2 * 29),
            _ => Some(2 + 29),
        };
        assert_eq!(entry.as_ref().map(Vec::len), length, "{n}");
    }
    let lost = batch(|key| release(key, A));
    assert!(
        lost.iter().enumerate().all(|(n, reply)| *reply == Reply::Done(n == 0)),
        "the first one alone was lost"
    );
    assert!(!done(store, release("j300", B)), "the other owner's intent stayed");
}

pub(crate) fn any_bytes_are_kept(store: &dyn Store) {
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    lease(store, "i\r\n\0", A);
    assert!(done(store, swap("i\r\n\0", &entry::lease(A), &bytes)));
    assert_eq!(get(store, "i\r\n\0"), Some(bytes));
}
