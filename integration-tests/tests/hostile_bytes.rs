//! Promise: bytes from outside never panic and never take memory without bound; an entry that is no row is a miss.
use diesel::prelude::*;
use integration_tests::models::{Blob, Project, SCHEMA, blobs, projects};
use integration_tests::{databases, stores};
use model_runtime::cache::entry::{self, Entry, Epoch, HEADER};
use model_runtime::cache::protocol::{self, Command, Reply, Sight, Slot};
use model_runtime::prelude::*;
use model_runtime::store::Store;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use std::io::Write;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What all tests of this file together may hold at once.
const BOUND_MIB: f32 = 120.0;
const NOW: u64 = 1_000_000_000_000;

/// What may be done to good bytes.
#[derive(Debug, Clone)]
enum Harm {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let harm = prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, with)| Harm::Flip(at, with)),
        1 => any::<usize>().prop_map(Harm::Cut),
        2 => (any::<usize>(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, what)| Harm::Insert(at, what)),
        1 => (any::<usize>(), 1_usize..200).prop_map(|(at, times)| Harm::Repeat(at, times)),
    ];
    prop::collection::vec(harm, 1..5)
}

fn harmed(mut bytes: Vec<u8>, harms: &[Harm]) -> Vec<u8> {
    for harm in harms {
        let length = bytes.len().max(1);
        match harm {
            Harm::Flip(at, with) => {
                if let Some(byte) = bytes.get_mut(at % length) {
                    *byte ^= with;
                }
            }
            Harm::Cut(at) => bytes.truncate(at % length),
            Harm::Insert(at, what) => {
                let at = (at % length).min(bytes.len());
                bytes.splice(at..at, what.iter().copied());
            }
            Harm::Repeat(at, times) => {
                let tail = bytes.split_off((at % length).min(bytes.len()));
                bytes.extend(tail.iter().cycle().take(tail.len() * times.min(&(4096 / length + 1))));
            }
        }
    }
    bytes
}

/// Claims of MessagePack to be longer than anything that follows.
fn claims() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![0xdb_u8, 0xdd, 0xdf, 0xc6, 0xc9, 0xda, 0xdc, 0xde]);
    (kind, any::<u32>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(kind, length, rest)| [&[kind][..], &length.to_be_bytes(), &rest].concat())
}

fn assert_bounded() {
    let peak = ALLOCATED.peak_usage_as_mb();
    assert!(peak < BOUND_MIB, "{peak} MiB were allocated at once");
}

fn slots() -> impl Strategy<Value = Vec<u8>> {
    let owner = |token: u8, deadline: u64| [&[token; 16][..], format!("{deadline:013}").as_bytes()].concat();
    let intents =
        prop::collection::vec((1_u8..20, any::<u64>().prop_map(|it| it % 10_000_000_000_000)), 0..20)
            .prop_map(move |owners| {
                let owners: Vec<u8> =
                    owners.into_iter().flat_map(|(token, deadline)| owner(token, deadline)).collect();
                [b"W1".as_slice(), &owners].concat()
            });
    let good = prop_oneof![
        intents,
        Just(entry::lease([3; 16])),
        Just(entry::pointer("target")),
        Just(b"W2".to_vec())
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        (good, harms()).prop_map(|(bytes, harms)| harmed(bytes, &harms)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_an_entry_or_a_foreign_one(bytes in slots()) {
        match entry::parse(&bytes) {
            Entry::Value { payload, .. } => prop_assert!(payload.len() < bytes.len()),
            Entry::Pointer { target } => prop_assert_eq!(target.len() + 1, bytes.len()),
            _ => {}
        }
        // Nothing of another life or another schema is ever served.
        if let Sight::Hit { meta, .. } = protocol::look(Some(&bytes), Epoch(1), 7) {
            prop_assert_eq!(&bytes[1..9], &1_u64.to_be_bytes());
            prop_assert_eq!(meta.fingerprint, 7);
        }
        let _ = protocol::after_lease(Some(&bytes), &[9; 16], Epoch(1), 7);
    }

    #[test]
    fn any_bytes_under_a_key_take_an_intent_and_give_it_back(
        bytes in slots(), ttl in 0..u64::MAX, token in 1_u8..20, lifetime in 1..u64::MAX,
    ) {
        let slot = Some(Slot { bytes, expires_at: NOW.saturating_add(ttl) });
        let token = [token; 16];
        let _ = protocol::lease(slot.clone(), token, lifetime, NOW);
        let _ = protocol::swap(slot.clone(), b"V", vec![b'V'], lifetime, NOW);
        let _ = protocol::point(slot.clone(), "t", lifetime, NOW);
        let _ = protocol::unpoint(slot.clone(), "t", NOW);
        let _ = protocol::release(slot.clone(), token, NOW);
        let lifetime = lifetime % 1_000_000_000;
        let placed = protocol::place(slot, token, lifetime, NOW);
        prop_assert_eq!(placed.bytes[0], b'W');
        prop_assert!(placed.expires_at >= NOW + lifetime);
        if placed.bytes[1] != b'2' {
            let (left, lost) = protocol::release(Some(placed), token, NOW);
            prop_assert!(!lost);
            let listed = left.is_some_and(|slot| slot.bytes[2..].chunks_exact(29).any(|owner| owner[..16] == token));
            prop_assert!(!listed);
        }
    }
}

/// A row's entry as the cache itself wrote it.
fn stored(store: &dyn Store, key: &str) -> Vec<u8> {
    let answer = store.call(&[Command::Get { key: key.into() }]).unwrap();
    match answer.replies.into_iter().next() {
        Some(Reply::Entry(Some(bytes))) => bytes,
        other => panic!("{other:?}"),
    }
}

fn replace(store: &dyn Store, key: &str, new: Vec<u8>) {
    let expect = stored(store, key);
    let swap = Command::Swap { key: key.into(), expect, new, ttl_ms: 60_000 };
    assert_eq!(store.call(&[swap]).unwrap().replies, [Reply::Done(true)]);
}

#[test]
fn a_poisoned_payload_is_a_row_or_a_miss() {
    for store in [stores::memory(), stores::redis()] {
        let cache = Cache::builder().store(store.clone()).refresh_ahead(0.0).build().unwrap();
        let mut conn = databases::sqlite_in_memory(SCHEMA);
        let mut db = Session::new(&mut conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let key = cache.row_key::<Project>(&p);
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let good = stored(&*store, &key);
        let (header, payload) = good.split_at(HEADER + 20);
        let payloads = prop_oneof![
            3 => harms().prop_map({
                let payload = payload.to_vec();
                move |harms| harmed(payload.clone(), &harms)
            }),
            2 => claims(),
            1 => prop::collection::vec(any::<u8>(), 0..300),
            // Deeper than a stack.
            1 => (0x91_u8..0x94, 1_usize..200_000).prop_map(|(array, depth)| vec![array; depth]),
        ];
        let config = ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() };
        let db = std::cell::RefCell::new(db);
        proptest::test_runner::TestRunner::new(config)
            .run(&payloads, |payload| {
                let mut db = db.borrow_mut();
                replace(&*store, &key, [header, &payload].concat());
                let healed = cache.stats().healed;
                let read = Project::get_from_cache(&mut *db, projects::id, p.id).unwrap();
                if cache.stats().healed > healed {
                    prop_assert_eq!(&*read, &*p, "the database's row");
                }
                // What could not be read was replaced; what could is put right for the next case.
                replace(&*store, &key, good.clone());
                prop_assert_eq!(&*Project::get_from_cache(&mut *db, projects::id, p.id).unwrap(), &*p);
                Ok(())
            })
            .unwrap();
        assert!(cache.stats().healed > 40, "most of it is no row: {:?}", cache.stats());
        assert_bounded();
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Reads a stored form through both kinds of columns.
fn read_dict(conn: &mut SqliteConnection, zipped: &[u8]) -> usize {
    diesel::delete(blobs::table).execute(conn).unwrap();
    diesel::insert_into(blobs::table)
        .values((blobs::id.eq(1), blobs::text.eq(base64(zipped)), blobs::packed.eq(Vec::<u8>::new())))
        .execute(conn)
        .unwrap();
    diesel::insert_into(blobs::table)
        .values((blobs::id.eq(2), blobs::text.eq(""), blobs::packed.eq(zipped)))
        .execute(conn)
        .unwrap();
    let read = |id: i32, conn: &mut SqliteConnection| {
        let row = blobs::table.find(id).select(Blob::as_select()).first(conn)?;
        // Whatever it is, it can be looked at.
        let _ = (format!("{:?}", row.text), row.text.len(), row.packed.len());
        Ok::<_, diesel::result::Error>(())
    };
    usize::from(read(1, conn).is_ok()) + usize::from(read(2, conn).is_ok())
}

fn pickles() -> Vec<Vec<u8>> {
    use base64::Engine;
    use std::io::Read;
    let all: serde_json::Value = serde_json::from_str(include_str!("../data/gzipped_dict.json")).unwrap();
    let vectors = all["legacy_pickle"].as_array().unwrap().iter();
    vectors
        .map(|vector| {
            let stored = vector["stored"].as_str().unwrap();
            let zipped = base64::engine::general_purpose::STANDARD.decode(stored).unwrap();
            let mut out = Vec::new();
            flate2::read::ZlibDecoder::new(zipped.as_slice()).read_to_end(&mut out).unwrap();
            out
        })
        .collect()
}

fn dicts() -> impl Strategy<Value = Vec<u8>> {
    let json = br#"{"a": [1, 2.5, null, "text"], "b": {"c": true}}"#.to_vec();
    prop_oneof![
        // Broken in the zip, or in what it holds.
        2 => harms().prop_map({
            let zipped = deflated(&json);
            move |harms| harmed(zipped.clone(), &harms)
        }),
        2 => harms().prop_map(move |harms| deflated(&harmed(json.clone(), &harms))),
        4 => (prop::sample::select(pickles()), harms()).prop_map(|(pickle, harms)| deflated(&harmed(pickle, &harms))),
        // Opcodes at random, the start and the end of a pickle around them.
        2 => prop::collection::vec(any::<u8>(), 0..60).prop_map(|ops| deflated(&[b"\x80\x02", &ops[..], b"."].concat())),
        1 => prop::collection::vec(any::<u8>(), 0..300),
        1 => (prop::sample::select(vec!["[", "{\"a\":", "(", "]"]), 1_usize..100_000)
            .prop_map(|(open, depth)| deflated(open.repeat(depth).as_bytes())),
    ]
}

#[test]
fn a_stored_dict_is_read_or_refused() {
    let conn = std::cell::RefCell::new(databases::sqlite_in_memory(SCHEMA));
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(&dicts(), |zipped| {
            read_dict(&mut conn.borrow_mut(), &zipped);
            Ok(())
        })
        .unwrap();
    assert_bounded();
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let mut conn = databases::sqlite_in_memory(SCHEMA);
    let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(b"[\"").unwrap();
    let block = vec![b'a'; 1 << 20];
    for _ in 0..160 {
        bomb.write_all(&block).unwrap();
    }
    bomb.write_all(b"\"]").unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 2 << 20, "{} bytes are 160 MiB", bomb.len());
    assert_eq!(read_dict(&mut conn, &bomb), 0);
    assert_bounded();
}
