//! What stands in the column of a dict: it is read, kept as it is, or refused.
use crate::harm::{harmed, harmed_one_of, harms, hold};
use crate::memory::{Alone, alone};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diesel::prelude::*;
use flate2::{Compress, Compression, FlushCompress};
use integration_tests::databases;
use integration_tests::models::{Blob, SCHEMA, blobs};
use proptest::prelude::*;
use std::cell::RefCell;
use std::io::{Read, Write};

/// What reading one small column may hold at once; a pickle of few bytes may give a million values.
const READ_MIB: usize = 64;
/// A dict of the greatest size, while it is inflated into a buffer that doubles.
const BOMB_MIB: usize = 64;

const JSON: &str = r#"{"a": [1, 2.5, null, "text"], "b": {"c": true}}"#;

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// The pickles that Python wrote, of every protocol.
fn pickles() -> Vec<Vec<u8>> {
    let all: serde_json::Value = serde_json::from_str(include_str!("../../data/gzipped_dict.json")).unwrap();
    let vectors =
        ["legacy_pickle", "constructors"].into_iter().flat_map(|list| all[list].as_array().unwrap());
    vectors.map(|it| inflated(&STANDARD.decode(it["stored"].as_str().unwrap()).unwrap())).collect()
}

/// Opcodes with what follows them, so that many in a row are a program.
fn programs() -> impl Strategy<Value = Vec<u8>> {
    let alone: Vec<Vec<u8>> =
        b"N)]}(\x88\x89\x8f012teaulds\x85\x86\x87\x90\x91\x94".iter().map(|op| vec![*op]).collect();
    let code: Vec<Vec<u8>> = b"icoPQ\x82\x83\x84\x92\x97\x98".iter().map(|op| vec![*op]).collect();
    // A length of 1, 4 or 8 bytes, true or not, and bytes.
    let sized = (
        prop::sample::select(
            vec![(b'U', 1), (0x8c, 1), (0x8a, 1), (b'C', 1), (b'T', 4), (b'X', 4), (0x8b, 4), (b'B', 4)]
                .into_iter()
                .chain([(0x8d, 8), (0x8e, 8), (0x96, 8), (0x95, 8)])
                .collect::<Vec<(u8, usize)>>(),
        ),
        prop_oneof![3 => Just(None), 1 => any::<u64>().prop_map(Some), 1 => Just(Some(u64::MAX))],
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|((op, width), lie, bytes)| {
            let length = lie.unwrap_or(bytes.len() as u64).to_le_bytes();
            [&[op][..], &length[..width], &bytes].concat()
        });
    let line = (prop::sample::select(b"IFLSVpg".to_vec()), "[-+0-9.eE'\"\\\\xuULna-f]{0,30}")
        .prop_map(|(op, text)| [&[op][..], text.as_bytes(), b"\n"].concat());
    let number = (
        prop::sample::select(vec![
            (b'K', 1),
            (b'M', 2),
            (b'J', 4),
            (b'G', 8),
            (b'q', 1),
            (b'r', 4),
            (b'h', 1),
            (b'j', 4),
        ]),
        any::<u64>(),
    )
        .prop_map(|((op, width), number): ((u8, usize), u64)| {
            [&[op][..], &number.to_le_bytes()[..width]].concat()
        });
    // What is named is refused, or made of what stands before it.
    let named = prop::sample::select(vec![
        "cbuiltins\nset\n",
        "cbuiltins\nbytes\n",
        "ccollections\nOrderedDict\n",
        "ccollections\ndefaultdict\n",
        "cdatetime\ndatetime\n(S'\\x07\\xde\\x01\\x02\\x03\\x04\\x05\\x00\\x00\\x00'\ntR",
        "cdecimal\nDecimal\n(S'1.5'\ntR",
        "cuuid\nUUID\n)\u{81}}U\x03intK\x05sb",
        "c_codecs\nencode\n(Va\nVlatin1\ntR",
        "cos\nsystem\n",
        "\u{93}",
        "R",
        ")R",
        "\u{85}R",
        "b",
        "\u{81}",
    ])
    .prop_map(|text: &str| text.chars().map(|letter| u8::try_from(letter).unwrap()).collect());
    // What is remembered early and recalled often grows exponentially.
    let memory = (prop::sample::select(b"qh".to_vec()), 0_u8..4).prop_map(|(op, key)| vec![op, key]);
    let step = prop_oneof![
        12 => prop::sample::select(alone),
        1 => prop::sample::select(code),
        4 => named,
        4 => sized,
        3 => line,
        2 => number,
        4 => memory,
    ];
    prop::collection::vec(step, 0..60).prop_map(|steps| [b"\x80\x02", &steps.concat()[..], b"."].concat())
}

/// Containers in each other that are whole, about as deep as is read; and a list in itself.
fn nested() -> impl Strategy<Value = Vec<u8>> {
    let nest = |open: &str, inner: &str, close: &str, depth| {
        [&open.repeat(depth), inner, &close.repeat(depth)].concat()
    };
    let json = move |depth| nest("[{\"a\":", "1", "}]", depth);
    let lists = move |depth| format!("{}.", nest("(", "N", "l", depth));
    let dicts = move |depth| format!("{}.", nest("}U\u{1}a", "N", "s", depth));
    let depth = || prop_oneof![120_usize..132, 1_usize..1000];
    prop_oneof![
        depth().prop_map(move |depth| json(depth / 2).into_bytes()),
        depth().prop_map(move |depth| lists(depth).into_bytes()),
        depth().prop_map(move |depth| dicts(depth).into_bytes()),
        Just(b"\x80\x02]q\x00h\x00a.".to_vec()),
    ]
}

fn stored_forms() -> impl Strategy<Value = Vec<u8>> {
    let zipped: Vec<_> =
        std::iter::once(deflated(JSON.as_bytes())).chain(pickles().iter().map(|it| deflated(it))).collect();
    let open = prop::sample::select(vec!["[", "{\"a\":", "(", "]", "((", "\u{80}\u{2}(", "]]a"]);
    prop_oneof![
        // Broken in the zip, or in what it holds.
        2 => harmed_one_of(zipped),
        2 => harmed_one_of(vec![JSON.into()]).prop_map(|json| deflated(&json)),
        4 => harmed_one_of(pickles()).prop_map(|pickle| deflated(&pickle)),
        4 => programs().prop_map(|program| deflated(&program)),
        2 => prop::collection::vec(any::<u8>(), 0..60).prop_map(|ops| deflated(&[b"\x80\x02", &ops[..], b"."].concat())),
        1 => prop::collection::vec(any::<u8>(), 0..300),
        2 => nested().prop_map(|plain| deflated(&plain)),
        1 => (open, 1_usize..100_000).prop_map(|(open, depth)| deflated(open.repeat(depth).as_bytes())),
    ]
}

/// Whether what a text and a binary column hold is read, each within bounds.
fn read(conn: &mut SqliteConnection, alone: &Alone, mib: usize, text: &str, packed: &[u8]) -> [bool; 2] {
    diesel::delete(blobs::table).execute(conn).unwrap();
    diesel::insert_into(blobs::table)
        .values((blobs::id.eq(1), blobs::text.eq(text), blobs::packed.eq(Vec::<u8>::new())))
        .execute(conn)
        .unwrap();
    diesel::insert_into(blobs::table)
        .values((blobs::id.eq(2), blobs::text.eq(""), blobs::packed.eq(packed)))
        .execute(conn)
        .unwrap();
    [1, 2].map(|id| {
        let row = alone.within(mib, || blobs::table.find(id).select(Blob::as_select()).first(conn));
        let Ok(row) = row else { return false };
        // Whatever was read can be looked at, and what was not understood is still there.
        let _ = (format!("{:?}", row.text), row.packed.len());
        for (dict, stored) in [(&row.text, text.as_bytes()), (&row.packed, packed)] {
            assert!(dict.raw().is_none_or(|raw| raw == stored), "kept byte for byte");
        }
        true
    })
}

#[test]
fn a_stored_dict_is_read_or_kept() {
    let alone = alone();
    let conn = RefCell::new(databases::sqlite_in_memory(SCHEMA));
    hold(600, &stored_forms(), |zipped| {
        read(&mut conn.borrow_mut(), &alone, READ_MIB, &STANDARD.encode(&zipped), &zipped);
        Ok(())
    });
}

#[test]
fn a_text_that_is_no_base64_is_kept() {
    let alone = alone();
    let conn = RefCell::new(databases::sqlite_in_memory(SCHEMA));
    let good = STANDARD.encode(deflated(JSON.as_bytes())).into_bytes();
    let texts = prop_oneof![
        harms().prop_map(move |harms| String::from_utf8_lossy(&harmed(good.clone(), &harms)).into_owned()),
        "[A-Za-z0-9+/= \n]{0,200}",
        any::<String>(),
    ];
    hold(300, &texts, |text| {
        // SQLite ends a text at its first zero byte.
        let text = text.replace('\0', "");
        let [is_read, _] = read(&mut conn.borrow_mut(), &alone, READ_MIB, &text, b"");
        prop_assert!(is_read, "it is small, so nothing is refused");
        Ok(())
    });
}

#[test]
fn every_good_form_is_read() {
    let alone = alone();
    let mut conn = databases::sqlite_in_memory(SCHEMA);
    for plain in pickles().into_iter().chain([JSON.into()]) {
        let zipped = deflated(&plain);
        assert_eq!(read(&mut conn, &alone, READ_MIB, &STANDARD.encode(&zipped), &zipped), [true; 2]);
        let row = blobs::table.find(2).select(Blob::as_select()).first(&mut conn).unwrap();
        assert!(!row.packed.is_undecodable());
    }
}

/// This many MiB of zeros. Blocks that refer to nothing before them repeat as they are.
fn bomb(mib: usize) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut zip = Compress::new(Compression::best(), true);
    let mut block = || {
        let mut out = Vec::with_capacity(1 << 16);
        zip.compress_vec(&zeros, &mut out, FlushCompress::Full).unwrap();
        out
    };
    let (first, other) = (block(), block());
    [first, other.repeat(mib - 1)].concat()
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let alone = alone();
    let mut conn = databases::sqlite_in_memory(SCHEMA);
    let (small, big) = (bomb(4), bomb(1024));
    assert!(big.len() < 2 << 20, "{} bytes are a gibibyte", big.len());
    let mut plain = vec![0; 4 << 20];
    flate2::read::ZlibDecoder::new(&small[..]).read_exact(&mut plain).unwrap();
    assert_eq!(read(&mut conn, &alone, BOMB_MIB, &STANDARD.encode(&big), &big), [false; 2]);
}

/// Values of JSON take more than their text: at most about a hundred times as much, for objects of one value.
#[test]
fn a_dict_takes_a_bounded_multiple_of_its_json() {
    let alone = alone();
    let mut conn = databases::sqlite_in_memory(SCHEMA);
    let objects = format!("{{\"a\":[{}0]}}", "{\"\":0},".repeat((1 << 20) / 7 - 4));
    let numbers = format!("{{\"a\":[{}0]}}", "0,".repeat((1 << 19) - 8));
    for json in [objects, numbers] {
        let zipped = deflated(json.as_bytes());
        assert_eq!(read(&mut conn, &alone, 128, &STANDARD.encode(&zipped), &zipped), [true; 2]);
    }
}

/// A remembered value is repeated by two bytes, and what repeats it by two more.
#[test]
fn a_pickle_that_grows_exponentially_is_kept_unread() {
    let alone = alone();
    let mut conn = databases::sqlite_in_memory(SCHEMA);
    // {"": None}, then forty times a list that holds the one before twice.
    let levels: Vec<u8> =
        (0..40_u8).flat_map(|at| [b"(h", &[at][..], b"h", &[at], b"lq", &[at + 1]].concat()).collect();
    let pickle = [b"\x80\x02}U\x00Nsq\x00", &levels[..], b"."].concat();
    let zipped = deflated(&pickle);
    assert_eq!(read(&mut conn, &alone, 512, &STANDARD.encode(&zipped), &zipped), [true; 2]);
    let row = blobs::table.find(2).select(Blob::as_select()).first(&mut conn).unwrap();
    assert_eq!(row.packed.raw(), Some(&zipped[..]));
}
