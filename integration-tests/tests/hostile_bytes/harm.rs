//! What may be done to good bytes.
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Harm {
    Flip(usize, u8),
    Cut(usize),
    Drop(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
    /// From the first place a piece this long, put over what stands at the second.
    Splice(usize, usize, usize),
}

pub(crate) fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let at = any::<usize>;
    let harm = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, with)| Harm::Flip(at, with)),
        1 => at().prop_map(Harm::Cut),
        1 => (at(), 1_usize..9).prop_map(|(at, count)| Harm::Drop(at, count)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, what)| Harm::Insert(at, what)),
        1 => (at(), 1_usize..200).prop_map(|(at, times)| Harm::Repeat(at, times)),
        2 => (at(), 1_usize..40, at()).prop_map(|(from, count, to)| Harm::Splice(from, count, to)),
    ];
    prop::collection::vec(harm, 1..5)
}

/// The bytes after every change, of which none makes them much longer than a few kilobytes.
pub(crate) fn harmed(mut bytes: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        let length = bytes.len();
        let place = |at: &usize| at % length.max(1);
        match harm {
            Harm::Flip(at, with) => bytes.iter_mut().skip(place(at)).take(1).for_each(|byte| *byte ^= with),
            Harm::Cut(at) => bytes.truncate(place(at)),
            Harm::Drop(at, count) => drop(bytes.drain(place(at)..length.min(place(at) + count))),
            Harm::Insert(at, what) => drop(bytes.splice(place(at)..place(at), what.iter().copied())),
            Harm::Repeat(at, times) => {
                let tail = bytes.split_off(place(at));
                bytes.extend(tail.iter().cycle().take(tail.len() * times.min(&(4096 / length.max(1) + 1))));
            }
            Harm::Splice(from, count, to) => {
                let piece: Vec<u8> = bytes.iter().skip(place(from)).take(*count).copied().collect();
                let end = length.min(place(to) + count);
                bytes.splice(place(to)..end, piece);
            }
        }
    }
    bytes
}

/// Any of these, changed.
pub(crate) fn harmed_one_of(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(good), harms()).prop_map(|(bytes, harms)| harmed(bytes, &harms))
}

/// Holds `check` against this many values, or as many as `PROPTEST_CASES` says.
#[track_caller]
pub(crate) fn hold<S: Strategy>(
    cases: u32,
    values: &S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default().cases,
        None => cases,
    };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    if let Err(error) = TestRunner::new(config).run(values, check) {
        panic!("{error}");
    }
}
