//! Random steps, which two stores must answer alike.
use crate::suite::{A, LONG, ask, done, release, row, swap};
use model_runtime::cache::entry::{self, HEADER};
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::store::Store;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// One random step on one of few keys, so that they meet.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Command>> {
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
pub(crate) fn without_deadlines(reply: Reply) -> Reply {
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
pub(crate) fn in_runs(mut steps: Vec<Command>) -> Vec<Command> {
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

/// Whether both stores give the same replies, step by step, and hold the same in the end.
pub(crate) fn agree(one: &dyn Store, other: &dyn Store, cases: u32) -> Result<(), String> {
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
