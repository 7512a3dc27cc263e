//! Promise: every store carries out the same protocol. One suite, and one differential test, on the in-process
//! store and on Redis; both must catch a store with a defect.
use integration_tests::stores;
use model_runtime::cache::entry::{self, Epoch, HEADER, Meta, Token};
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::store::{Answer, MemoryStore, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: u64 = 60_000;
const A: Token = [1; 16];
const B: Token = [2; 16];
const C: Token = [3; 16];

fn ask(store: &dyn Store, command: Command) -> Reply {
    let mut answer = store.call(&[command]).unwrap();
    assert_eq!(answer.replies.len(), 1);
    answer.replies.remove(0)
}

fn get(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    match ask(store, Command::Get { key: key.into() }) {
        Reply::Entry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn lease(store: &dyn Store, key: &str, token: Token) -> Option<Vec<u8>> {
    match ask(store, Command::Lease { key: key.into(), token, ttl_ms: LONG }) {
        Reply::Entry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn done(store: &dyn Store, command: Command) -> bool {
    match ask(store, command) {
        Reply::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

fn swap(key: &str, expect: &[u8], new: &[u8]) -> Command {
    Command::Swap { key: key.into(), expect: expect.into(), new: new.into(), ttl_ms: LONG }
}

fn point(pointer: &str, target: &str) -> Command {
    Command::Point { pointer: pointer.into(), target: target.into(), ttl_ms: LONG }
}

fn unpoint(pointer: &str, target: &str) -> Command {
    Command::Unpoint { pointer: pointer.into(), target: target.into() }
}

fn place(key: &str, token: Token) -> Command {
    Command::Place { key: key.into(), token, lifetime_ms: LONG }
}

fn release(key: &str, token: Token) -> Command {
    Command::Release { key: key.into(), token }
}

fn row(payload: &[u8]) -> Vec<u8> {
    entry::value(Epoch(1), A, Meta { fingerprint: 1, load_cost_us: 2, soft_expiry_ms: 3 }, payload)
}

/// What every store must do, each step on a key of its own.
fn suite(store: &dyn Store) {
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

fn a_lease_is_granted_once_and_fills_once(store: &dyn Store) {
    assert_eq!(lease(store, "a", A), None);
    assert_eq!(lease(store, "a", B), Some(entry::lease(A)));
    assert!(!done(store, swap("a", &entry::lease(B), &row(b"b"))));
    assert!(!done(store, swap("a", b"", &row(b"b"))), "an empty expectation matches no lease");
    assert!(done(store, swap("a", &entry::lease(A), &row(b"a"))));
    assert!(!done(store, swap("a", &entry::lease(A), &row(b"a"))), "the lease is used up");
    assert_eq!(get(store, "a"), Some(row(b"a")));
    assert_eq!(lease(store, "a", B), Some(row(b"a")), "what stands there is shown");
}

fn a_scan_finds_the_keys_of_a_prefix_and_no_others(store: &dyn Store) {
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

fn a_fill_replaces_by_prefix(store: &dyn Store) {
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

fn intents_refuse_fills_until_the_last_release(store: &dyn Store) {
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

fn release_deletes_what_was_filled_after_a_loss(store: &dyn Store) {
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

fn more_than_sixteen_owners_are_one_hold(store: &dyn Store) {
    for owner in 0..16 {
        done(store, place("e", [owner; 16]));
    }
    assert!(get(store, "e").is_some_and(|entry| entry.starts_with(b"W1") && entry.len() == 2 + 16 * 29));
    done(store, place("e", [16; 16]));
    assert_eq!(get(store, "e").as_deref(), Some(b"W2".as_slice()));
    assert!(!done(store, release("e", [3; 16])));
    done(store, place("e", [17; 16]));
    assert_eq!(get(store, "e").as_deref(), Some(b"W2".as_slice()), "until it expires");
}

fn pointers_yield_to_leases_and_intents(store: &dyn Store) {
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

fn a_pointer_is_followed_in_one_step(store: &dyn Store) {
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

fn a_batch_is_answered_in_order(store: &dyn Store) {
    let answer =
        store.call(&[place("h", A), Command::Get { key: "h".into() }, release("h", A), release("h", A)]);
    let replies = answer.unwrap().replies;
    assert!(matches!(
        &replies[..],
        [Reply::Done(true), Reply::Entry(Some(_)), Reply::Done(false), Reply::Done(true)]
    ));
}

fn many_keys_are_answered_one_by_one(store: &dyn Store) {
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

fn any_bytes_are_kept(store: &dyn Store) {
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    lease(store, "i\r\n\0", A);
    assert!(done(store, swap("i\r\n\0", &entry::lease(A), &bytes)));
    assert_eq!(get(store, "i\r\n\0"), Some(bytes));
}

#[test]
fn the_in_process_store_conforms() {
    suite(&*stores::memory());
}

#[test]
fn redis_conforms() {
    suite(&*stores::redis());
}

#[test]
fn redis_conforms_after_it_has_forgotten_its_scripts() {
    let url = stores::redis_url();
    let store = model_runtime::store::RedisStore::new(
        &url,
        Duration::from_secs(20),
        Duration::from_secs(20),
        Duration::ZERO,
    )
    .unwrap();
    done(&store, place("k", A));
    let mut conn = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut conn).unwrap();
    assert!(!done(&store, release("k", A)), "found");
}

/// Entries go when their time is over; how soon after is the store's business.
fn entries_expire(store: &dyn Store) {
    done(store, Command::Place { key: "w".into(), token: A, lifetime_ms: 30 });
    done(store, Command::Point { pointer: "p".into(), target: "r".into(), ttl_ms: 30 });
    ask(store, Command::Lease { key: "l".into(), token: A, ttl_ms: 30 });
    // An intent that outlives its neighbour: the dead one is dropped, the entry stays.
    done(store, Command::Place { key: "both".into(), token: A, lifetime_ms: 30 });
    done(store, place("both", B));
    let deadline = Instant::now() + Duration::from_secs(20);
    while ["w", "p", "l"].iter().any(|key| get(store, key).is_some()) {
        assert!(Instant::now() < deadline, "an entry does not expire");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(done(store, release("w", A)), "lost with its entry");
    done(store, place("both", [3; 16]));
    let entry = get(store, "both").unwrap();
    assert_eq!(entry.len(), 2 + 2 * 29, "the dead owner was dropped");
    done(store, release("both", [3; 16]));
    assert!(!done(store, release("both", B)), "found");
    assert_eq!(get(store, "both"), None);
}

#[test]
fn entries_expire_in_the_process() {
    entries_expire(&*stores::memory());
}

#[test]
fn entries_expire_on_redis() {
    entries_expire(&*stores::redis());
}

/// A store that is wrong in one way.
#[derive(Debug)]
struct Defective(Arc<dyn Store>, Defect);

#[derive(Debug, Clone, Copy)]
enum Defect {
    ReleaseLeavesValues,
    FillsWithoutALease,
    IntentsOfOthersAreForgotten,
    PointersReplaceIntents,
}

impl Store for Defective {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let wrong = |command: &Command| match (self.1, command) {
            (Defect::ReleaseLeavesValues, Command::Release { key, .. })
                if get(&*self.0, key).is_some_and(|entry| entry.starts_with(b"V")) =>
            {
                // Answers as a release does, and leaves the value.
                Command::Swap {
                    key: key.clone(),
                    expect: b"V".into(),
                    new: get(&*self.0, key).unwrap(),
                    ttl_ms: LONG,
                }
            }
            (Defect::FillsWithoutALease, Command::Swap { key, new, ttl_ms, expect })
                if expect.starts_with(b"L") =>
            {
                let expect = get(&*self.0, key).unwrap_or_default();
                Command::Swap { key: key.clone(), expect, new: new.clone(), ttl_ms: *ttl_ms }
            }
            (Defect::IntentsOfOthersAreForgotten, Command::Place { key, token, lifetime_ms }) => {
                for owner in 0..=20 {
                    done(&*self.0, release(key, [owner; 16]));
                }
                Command::Place { key: key.clone(), token: *token, lifetime_ms: *lifetime_ms }
            }
            (Defect::PointersReplaceIntents, Command::Point { pointer, target, ttl_ms }) => {
                for owner in 0..=20 {
                    done(&*self.0, release(pointer, [owner; 16]));
                }
                Command::Point { pointer: pointer.clone(), target: target.clone(), ttl_ms: *ttl_ms }
            }
            _ => command.clone(),
        };
        let batch: Vec<_> = batch.iter().map(wrong).collect();
        self.0.call(&batch)
    }
}

/// One random step on one of few keys, so that they meet.
fn steps() -> impl Strategy<Value = Vec<Command>> {
    let key = || prop::sample::select(vec!["x", "y"]).prop_map(str::to_owned);
    let token = || (0_u8..20).prop_map(|n| [n; 16]);
    let bytes = || {
        prop_oneof![
            token().prop_map(entry::lease),
            Just(row(b"1")),
            Just(entry::pointer("y")),
            Just(b"W".to_vec()),
            Just(b"W2".to_vec()),
            Just(b"W1short".to_vec()),
            Just([b"W0".as_slice(), &[7; 16], b"9999999999999"].concat()),
            Just([b"W1".as_slice(), &[7; 16], b" 999999999999", &[8; 16], b"9999999999999", b"cut"].concat()),
            prop::collection::vec(any::<u8>(), 0..40),
        ]
    };
    let expect = || {
        prop_oneof![
            token().prop_map(entry::lease),
            Just(row(b"1")[..HEADER].to_vec()),
            Just(Vec::new()),
            prop::sample::select(vec![b"L".to_vec(), b"W".to_vec(), b"P".to_vec(), b"V".to_vec()]),
        ]
    };
    let step = prop_oneof![
        1 => key().prop_map(|key| Command::Get { key }),
        1 => key().prop_map(|pointer| Command::Deref { pointer }),
        2 => (key(), token()).prop_map(|(key, token)| Command::Lease { key, token, ttl_ms: LONG }),
        4 => (key(), expect(), bytes())
            .prop_map(|(key, expect, new)| Command::Swap { key, expect, new, ttl_ms: LONG }),
        1 => (key(), key()).prop_map(|(pointer, target)| Command::Point { pointer, target, ttl_ms: LONG }),
        1 => (key(), key()).prop_map(|(pointer, target)| Command::Unpoint { pointer, target }),
        4 => (key(), token()).prop_map(|(key, token)| Command::Place { key, token, lifetime_ms: LONG }),
        3 => (key(), token()).prop_map(|(key, token)| Command::Release { key, token }),
    ];
    prop::collection::vec(step, 1..60)
}

/// The stores' clocks differ, so that deadlines of intents are not compared.
fn without_deadlines(reply: Reply) -> Reply {
    let blank = |entry: Option<Vec<u8>>| {
        entry.map(|mut bytes| {
            if bytes.first() == Some(&b'W') {
                for owner in bytes.get_mut(2..).unwrap_or_default().chunks_exact_mut(29) {
                    if owner[16..].iter().all(u8::is_ascii_digit) {
                        owner[16..].fill(b'0');
                    }
                }
            }
            bytes
        })
    };
    match reply {
        Reply::Entry(entry) => Reply::Entry(blank(entry)),
        Reply::Pair { pointer, row } => Reply::Pair { pointer: blank(pointer), row: blank(row) },
        done @ (Reply::Done(_) | Reply::Page { .. }) => done,
    }
}

/// The same commands with those of one kind in a row, and few tokens: a store may carry them out together.
fn in_runs(mut steps: Vec<Command>) -> Vec<Command> {
    for step in &mut steps {
        if let Command::Place { token, .. } | Command::Release { token, .. } = step {
            *token = [token[0] % 2; 16];
        }
    }
    steps.sort_by_key(|step| match step {
        Command::Place { token, .. } => (0, token[0]),
        Command::Get { .. } => (1, 0),
        Command::Release { token, .. } => (2, token[0]),
        _ => (3, 0),
    });
    steps
}

#[test]
fn redis_and_the_in_process_store_agree_on_whole_batches() {
    let (one, other) = (stores::memory(), stores::redis());
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let result = runner.run(&steps(), |steps| {
        let mut batch: Vec<_> = ["x", "y"].map(|key| swap(key, b"W", b"V")).into();
        batch.extend(["x", "y"].map(|key| release(key, A)));
        batch.extend(in_runs(steps));
        let run = |store: &dyn Store| -> Vec<Reply> {
            store.call(&batch).unwrap().replies.into_iter().map(without_deadlines).collect()
        };
        prop_assert_eq!(run(&*one), run(&*other), "{:?}", batch);
        Ok(())
    });
    result.unwrap();
}

/// Whether both stores give the same replies, step by step, and hold the same in the end.
fn agree(one: &dyn Store, other: &dyn Store, cases: u32) -> Result<(), String> {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let clear = ["x", "y"].map(|key| release(key, A));
    let result = runner.run(&steps(), |steps| {
        for store in [one, other] {
            // An anonymous hold yields to nobody, so that it is replaced first.
            for key in ["x", "y"] {
                done(store, swap(key, b"W", b"V"));
            }
            store.call(&clear).unwrap();
        }
        let batch = || steps.iter().cloned().chain(["x", "y"].map(|key| Command::Get { key: key.into() }));
        let run = |store: &dyn Store| -> Vec<Reply> {
            batch().map(|command| without_deadlines(ask(store, command))).collect()
        };
        for ((command, one), other) in batch().zip(run(one)).zip(run(other)) {
            prop_assert_eq!(one, other, "{:?}", command);
        }
        Ok(())
    });
    result.map_err(|error| error.to_string())
}

#[test]
fn redis_and_the_in_process_store_agree_on_random_sequences() {
    agree(&*stores::memory(), &*stores::redis(), 400).unwrap();
}

const DEFECTS: [Defect; 4] = [
    Defect::ReleaseLeavesValues,
    Defect::FillsWithoutALease,
    Defect::IntentsOfOthersAreForgotten,
    Defect::PointersReplaceIntents,
];

#[test]
fn the_suite_catches_every_defect() {
    for defect in DEFECTS {
        let store = Defective(Arc::new(MemoryStore::default()), defect);
        assert!(catch_unwind(AssertUnwindSafe(|| suite(&store))).is_err(), "{defect:?} was not caught");
    }
}

#[test]
fn the_differential_test_catches_every_defect() {
    for defect in DEFECTS {
        let store = Defective(Arc::new(MemoryStore::default()), defect);
        let caught = catch_unwind(AssertUnwindSafe(|| agree(&*stores::memory(), &store, 4000)));
        assert!(!matches!(caught, Ok(Ok(()))), "{defect:?} was not caught");
    }
}
