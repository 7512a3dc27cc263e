#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test should panic")]
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const VECTORS: &str = include_str!("../../../../../integration-tests/data/gzipped_dict.json");

/// `{'a': [1], 'b': the same list, 'c': (the same list, b'\xe9', {1}, frozenset({2}), bytearray(b'z'))}`
/// as Python 3.11 pickles it with protocol 5.
const PROTOCOL_5: &[u8] = b"\x80\x05\x957\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94K\x01a\x8c\x01b\x94h\x02\
    \x8c\x01c\x94(h\x02C\x01\xe9\x94\x8f\x94(K\x01\x90(K\x02\x91\x94\x96\x01\0\0\0\0\0\0\0z\x94t\x94u.";

/// One dict as Python 2.7's cPickle writes it with protocols 0, 1 and 2: byte strings, one of them Latin-1,
/// Unicode, a tuple, and an integer beyond 32 bits.
const PYTHON_2: [&[u8]; 3] = [
    b"(dp1\nS'q'\nS'it\\'s \"x\"\\\\\\n\\r\\t\\x00\\xff'\np2\nsVcaf\xe9\np3\nS'caf\\xe9'\np4\nsS'l'\n(lp5\n\
      V\\U0001f600\nasS't'\n(I1\nI01\nNI-1\nI5000000000\nF1.5\ntp6\nsS'level'\np7\nI40\ns.",
    b"}q\x01(U\x01qU\x0eit's \"x\"\\\n\r\t\0\xffq\x02X\x05\0\0\0caf\xc3\xa9q\x03U\x04caf\xe9q\x04U\x01l]q\x05\
      X\x04\0\0\0\xf0\x9f\x98\x80aU\x01t(K\x01I01\nNJ\xff\xff\xff\xffI5000000000\nG?\xf8\0\0\0\0\0\0t\
      U\x05levelq\x06K(u.",
    b"\x80\x02}q\x01(U\x01qU\x0eit's \"x\"\\\n\r\t\0\xffq\x02X\x05\0\0\0caf\xc3\xa9q\x03U\x04caf\xe9q\x04\
      U\x01l]q\x05X\x04\0\0\0\xf0\x9f\x98\x80aU\x01t(K\x01\x88NJ\xff\xff\xff\xffI5000000000\n\
      G?\xf8\0\0\0\0\0\0tU\x05levelq\x06K(u.",
];

/// The listed pickles with what they hold; for the undecodable, `None` and what zlib made of them.
fn vectors(list: &str) -> Vec<(Option<Value>, Vec<u8>)> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let inflated = vectors[list].as_array().unwrap().iter().filter_map(|vector| {
        let zlib = STANDARD.decode(vector["stored"].as_str().unwrap()).ok()?;
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut plain).ok()?;
        Some((vector.get("value").cloned(), plain))
    });
    inflated.collect()
}

fn valid() -> Vec<Vec<u8>> {
    let listed =
        vectors("legacy_pickle").into_iter().chain(vectors("constructors")).map(|(_, pickle)| pickle);
    listed.chain(PYTHON_2.map(Vec::from)).chain([PROTOCOL_5.to_vec()]).collect()
}

/// Each is the body of a pickle that ends with STOP.
fn assert_values<const N: usize>(cases: [(&[u8], Value); N]) {
    for (body, expected) in cases {
        assert_eq!(read(&[body, b"."].concat()), Ok(expected), "{}", body.escape_ascii());
    }
}

fn assert_refused<const N: usize>(reason: Reason, bodies: [&[u8]; N]) {
    for body in bodies {
        assert_eq!(read(&[body, b"."].concat()), Err(reason), "{}", body.escape_ascii());
    }
}

/// A pickle of `levels` lists, each of which holds the one before it `width` times.
fn laughs(levels: usize, width: usize) -> Vec<u8> {
    let mut pickle = b"]\x94".to_vec();
    for level in 0..levels {
        pickle.extend(b"](");
        for _ in 0..width {
            pickle.extend([b'h', u8::try_from(level).unwrap()]);
        }
        pickle.extend(b"e\x94");
    }
    pickle.push(b'.');
    pickle
}

fn nested(depth: usize) -> Vec<u8> {
    [&b"]".repeat(depth)[..], &b"a".repeat(depth - 1), b"."].concat()
}

#[test]
fn the_vectors_are_read() {
    let vectors = vectors("legacy_pickle");
    assert_eq!(vectors.len(), 16);
    for (expected, pickle) in vectors {
        assert!(is_pickle(&pickle), "{}", pickle.escape_ascii());
        assert_eq!(read(&pickle).ok(), expected, "{}", pickle.escape_ascii());
    }
}

#[test]
fn the_undecodable_vectors_are_refused() {
    let [(_, code), (_, json)] = &vectors("undecodable")[..] else { panic!("two of four are zlib") };
    assert!(is_pickle(code));
    assert_eq!(read(code), Err(RUNS_CODE));
    assert!(!is_pickle(json));
    assert!(read(json).is_err());
}

#[test]
fn what_python_2_wrote_is_read() {
    let expected = json!({
        "q": "it's \"x\"\\\n\r\t\0ÿ", "café": "café", "l": ["😀"],
        "t": [1, true, null, -1, 5_000_000_000_i64, 1.5], "level": 40,
    });
    for pickle in PYTHON_2 {
        assert!(is_pickle(pickle));
        assert_eq!(read(pickle), Ok(expected.clone()), "{}", pickle.escape_ascii());
    }
}

#[test]
fn what_python_3_writes_is_read() {
    assert_eq!(read(PROTOCOL_5), Ok(json!({ "a": [1], "b": [1], "c": [[1], "é", [1], [2], "z"] })));
}

#[test]
fn json_is_no_pickle() {
    for json in ["", "{}", "[1]", "\"a.\"", "-1.", "1.", "true", "false", "null", " {}", "\n[]", "."] {
        assert!(!is_pickle(json.as_bytes()), "{json}");
    }
    for byte in b"{[\"-0123456789tfn \t\r\n" {
        assert!(!is_pickle(&[*byte, b'.']), "{}", byte.escape_ascii());
        assert!(read(&[*byte, b'.']).is_err(), "{}", byte.escape_ascii());
    }
    assert!(!is_pickle(b"(dp0\n"), "it has no end");
    assert!(is_pickle(b"\x80"), "it begins as nothing else does");
}

#[test]
fn constants_and_numbers() {
    assert_values([
        (b"N", Value::Null),
        (b"\x88", json!(true)),
        (b"\x89", json!(false)),
        (b"I01\n", json!(true)),
        (b"I00\n", json!(false)),
        (b"I-7\n", json!(-7)),
        (b"J\xfe\xff\xff\xff", json!(-2)),
        (b"K\xff", json!(255)),
        (b"M\x01\x02", json!(513)),
        (b"L5L\n", json!(5)),
        (b"L5\n", json!(5)),
        (b"\x8a\0", json!(0)),
        (b"\x8a\x01\xff", json!(-1)),
        (b"\x8a\x02\xff\0", json!(255)),
        (b"\x8b\x02\0\0\0\0\x80", json!(-32768)),
        (b"F-1.5e3\n", json!(-1500.0)),
        (b"G?\xf8\0\0\0\0\0\0", json!(1.5)),
    ]);
}

#[test]
fn integers_beyond_64_bits_are_their_digits() {
    assert_values([
        (b"I-9223372036854775808\n", json!(i64::MIN)),
        (b"L18446744073709551615L\n", json!(u64::MAX)),
        (b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\0", json!(u64::MAX)),
        (b"L18446744073709551616L\n", json!("18446744073709551616")),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01", json!("18446744073709551616")),
        (b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\xff", json!("-9223372036854775809")),
        // 10²⁷, whose last groups of digits are zeros.
        (b"\x8a\x0c\0\0\0\xe8\x3c\x80\xd0\x9f\x3c\x2e\x3b\x03", json!("1000000000000000000000000000")),
    ]);
    let digits = "9".repeat(310);
    let bytes = [&b"\x8a\x81"[..], &[1; 129]].concat();
    assert_refused(TOO_BIG_INTEGER, [format!("L{digits}L\n").as_bytes(), &bytes]);
    assert!(read(&[&b"\x8a\x80"[..], &[0x7f; 128], b"."].concat()).is_ok());
}

#[test]
fn floats_that_are_not_finite_are_null() {
    assert_values([
        (b"Fnan\n", Value::Null),
        (b"F-inf\n", Value::Null),
        (b"G\x7f\xf0\0\0\0\0\0\0", Value::Null),
    ]);
}

#[test]
fn numbers_that_are_none_are_refused() {
    assert_refused(BROKEN, [b"I\n", b"I-\n", b"I1x\n", b"I\xff\n", b"LL\n", b"L0x1fL\n", b"Fone\n", b"gx\n"]);
}

#[test]
fn text() {
    assert_values([
        (b"S'a'\n", json!("a")),
        (b"S\"it's\"\n", json!("it's")),
        (b"T\x03\0\0\0\xe2\x98\x83", json!("☃")),
        (b"U\x02caU\x01\xe9\x86", json!(["ca", "é"])),
        (b"V\n", json!("")),
        (b"Vcaf\xe9 \\u2603 \\U0001f600\n", json!("café ☃ 😀")),
        (b"X\x03\0\0\0\xe2\x98\x83", json!("☃")),
        (b"\x8c\x01a", json!("a")),
        (b"\x8d\x01\0\0\0\0\0\0\0a", json!("a")),
    ]);
}

#[test]
fn bytes_are_utf_8_or_else_latin_1() {
    assert_values([
        (b"B\x02\0\0\0\xc3\xa9", json!("é")),
        (b"C\x02\xe9\xe9", json!("éé")),
        (b"\x8e\x01\0\0\0\0\0\0\0\xff", json!("ÿ")),
        (b"\x96\x01\0\0\0\0\0\0\0a", json!("a")),
    ]);
}

#[test]
fn only_escapes_that_python_writes_are_undone() {
    let read_line = |line: &str| read(format!("{line}\n.").as_bytes());
    for (line, expected) in [
        (r#"S'\\ \' \" \n\r\t \xe2\x98\x83'"#, "\\ ' \" \n\r\t ☃"),
        (r"S'\xe9'", "é"),
        (r"V\u2603 \U0001f600", "☃ 😀"),
        (r"V\ud83d\ude00", "😀"),
        (r"V\n\\", r"\n\\"),
        // The second backslash belongs to the first, so it begins no escape.
        (r"V\\u0041", r"\\u0041"),
        (r"Va\", r"a\"),
    ] {
        assert_eq!(read_line(line), Ok(json!(expected)), "{line}");
    }
    for line in [r"S'\101'", r"S'\xg0'", r"S'\x1'", r"S'\'", "S'", "S'a\"", "Sa", "S", r"V\u12", r"V\u+123"] {
        assert_eq!(read_line(line), Err(BROKEN), "{line}");
    }
    for line in [r"V\ud83d", r"V\ude00\ud83d", r"V\U0000d83d", r"V\U00110000"] {
        assert_eq!(read_line(line), Err(NOT_UNICODE), "{line}");
    }
    assert_refused(NOT_UNICODE, [b"X\x03\0\0\0\xed\xa0\xbd", b"\x8c\x01\xff"]);
}

#[test]
fn containers() {
    assert_values([
        (b"]", json!([])),
        (b"(l", json!([])),
        (b"(K\x01K\x02l", json!([1, 2])),
        (b"]K\x01a", json!([1])),
        (b"](K\x01K\x02e", json!([1, 2])),
        (b")", json!([])),
        (b"(K\x01K\x02t", json!([1, 2])),
        (b"K\x01\x85", json!([1])),
        (b"K\x01K\x02\x86", json!([1, 2])),
        (b"K\x01K\x02K\x03\x87", json!([1, 2, 3])),
        (b"}", json!({})),
        (b"(d", json!({})),
        (b"(U\x01aK\x01d", json!({ "a": 1 })),
        (b"}U\x01aK\x01s", json!({ "a": 1 })),
        (b"}(U\x01aK\x01U\x01bK\x02u", json!({ "a": 1, "b": 2 })),
        (b"\x8f(K\x01K\x02\x90", json!([1, 2])),
        (b"(K\x01\x91", json!([1])),
    ]);
}

#[test]
fn keys_become_text_and_later_ones_win() {
    assert_values([
        (b"(NK\x01\x88K\x02\x89K\x03d", json!({ "None": 1, "True": 2, "False": 3 })),
        (
            b"(J\xff\xff\xff\xffNL18446744073709551616L\nNd",
            json!({ "-1": null, "18446744073709551616": null }),
        ),
        (
            b"(F1.5\nNF2\nNF1e16\nNF-1.5e-7\nNd",
            json!({ "1.5": null, "2.0": null, "1e+16": null, "-1.5e-07": null }),
        ),
        (b"(FNaN\nNFinf\nNF-inf\nNd", json!({ "nan": null, "inf": null, "-inf": null })),
        (b"(C\x01\xe9Nd", json!({ "é": null })),
        (b"}U\x01aK\x01sU\x01aK\x02sK\x07K\x03sU\x017K\x04s", json!({ "a": 2, "7": 4 })),
    ]);
    assert_refused(COMPOUND_KEY, [b"()Nd", b"(]Nd", b"(}Nd", b"(\x8fNd"]);
}

#[test]
fn the_stack_and_the_memo() {
    assert_values([
        (b"\x80\x05\x95\x02\0\0\0\0\0\0\0K\x01", json!(1)),
        (b"K\x01K\x020", json!(1)),
        (b"K\x01(0", json!(1)),
        (b"K\x01(K\x02K\x031", json!(1)),
        (b"K\x012\x86", json!([1, 1])),
        (b"K\x01p0\ng0\n\x86", json!([1, 1])),
        (b"K\x01q\xffh\xff\x86", json!([1, 1])),
        (b"K\x01r\0\0\0\x01j\0\0\0\x01\x86", json!([1, 1])),
        (b"K\x01\x94K\x02\x94h\0h\x01\x87", json!([2, 1, 2])),
    ]);
}

#[test]
fn what_is_remembered_is_seen_as_it_is_filled() {
    assert_values([
        (b"]q\0h\0K\x01aK\x02a\x86", json!([[1, 2], [1, 2]])),
        (
            b"(}q\0h\0U\x01aK\x01sh\0U\x01bK\x02st",
            json!([{ "a": 1, "b": 2 }, { "a": 1, "b": 2 }, { "a": 1, "b": 2 }]),
        ),
    ]);
}

#[test]
fn code_is_refused() {
    assert_refused(
        RUNS_CODE,
        [
            b"cos\nsystem\n(S'true'\ntR",
            b"\x80\x02ccollections\nCounter\nq\0)R",
            b"cdatetime\ntimedelta\n",
            b"cuuid\nUUID\n",
            b"cbuiltins\nlist\n)R",
            b"cbuiltins\neval\n(S'1'\ntR",
            b"c_codecs\nencode\n(V1\nVhex\ntR",
            b"c_codecs\nencode\n(cbuiltins\nlist\nVlatin1\ntR",
            b"ccollections\ndefaultdict\n(S'factory'\ntR",
            b"ccollections\nOrderedDict\n(N}tR",
            b"cbuiltins\nset\n(S'abc'\ntR",
            b"ccopy_reg\n_reconstructor\n(cdecimal\nDecimal\nc__builtin__\nobject\nNtR",
            b"ccopy_reg\n_reconstructor\n(cuuid\nUUID\nc__builtin__\nlist\nS'1'\ntR",
            b"cdatetime\ndatetime\n(S'\\x07\\xde\\x01\\x02\\x03\\x04\\x05\\x00\\x00\\x00'\nNtR",
            b"cdatetime\ndate\n)\x81",
            b"ccollections\nOrderedDict\n)R}b",
            b"N\x8c\x04UUID\x93",
            b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94",
            b"(S'true'\nios\nsystem\n",
            b"(NNo",
            b"NNR",
            b"}}b",
            b"N)\x81",
            b"N)}\x92",
            b"\x82\x01",
            b"\x83\x01\0",
            b"\x84\x01\0\0\0",
            b"P1\n",
            b"NQ",
            b"\x97",
            b"N\x98",
        ],
    );
}

#[test]
fn unknown_opcodes_and_protocols_are_refused() {
    assert_refused(UNKNOWN, [b"\x80\x06N", b"\x80\xffN", b"\x99", b"\xff", b"n", b"\n"]);
}

#[test]
fn programs_that_python_would_not_run_are_refused() {
    assert_refused(
        BROKEN,
        [
            b"",
            b"0",
            b"1",
            b"2",
            b"(",
            b"N(",
            b"K\x01l",
            b"a",
            b"]a",
            b"](a",
            b"Ne",
            b"K\x01K\x01a",
            b")K\x01a",
            b"]K\x01s",
            b"}K\x01s",
            b"}(K\x01u",
            b"(K\x01d",
            b"](K\x01\x90",
            b"\x8f(K\x01e",
            b"\x8fK\x01a",
            b"K\x01\x86",
            b"(K\x01\x86",
            b"p0\n",
            b"\x94",
            b"(\x94",
            b"g0\n",
            b"h\0",
            b"j\0\0\0\0",
            b"g-1\n",
            b"N.",
            b"N.N",
        ],
    );
}

#[test]
fn declared_lengths_are_checked_before_they_are_believed() {
    assert_refused(
        ENDS_EARLY,
        [
            b"U\xff",
            b"T\xff\xff\xff\x7f",
            b"T\xff\xff\xff\xff",
            b"X\xff\xff\xff\xff",
            b"B\0\0\0\x40",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x96\0\0\0\0\x01\0\0\0",
            b"\x8a\xff",
            b"\x8b\xff\xff\xff\x7f",
            b"\x95\xff\xff\xff\xff\0\0\0\0",
        ],
    );
}

#[test]
fn a_truncated_pickle_ends_too_early() {
    for pickle in valid() {
        for length in 0..pickle.len() {
            let start = &pickle[..length];
            assert_eq!(read(start), Err(ENDS_EARLY), "{}", start.escape_ascii());
        }
    }
}

#[test]
fn nesting_is_read_as_deep_as_json() {
    let value = read(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&value.to_string()).unwrap(), value);
    assert_eq!(read(&nested(MAX_DEPTH + 1)), Err(TOO_DEEP));
    assert_eq!(read(&nested(400_000)), Err(TOO_DEEP));
    assert_eq!(read(&[&b"(".repeat(400_000)[..], b"."].concat()), Err(BROKEN));
}

#[test]
fn a_container_within_itself_is_refused() {
    assert_refused(
        TOO_DEEP,
        [
            b"]q\0h\0a",
            b"]q\0(h\0h\0h\0e",
            b"}q\0U\x01ah\0s",
            b"]q\0h\0\x85q\x01a0h\x01",
            b"(lp0\n(g0\ntp1\na",
        ],
    );
}

#[test]
fn a_pickle_that_gives_exponentially_much_is_refused() {
    assert_eq!(read(&laughs(100, 2)), Err(TOO_MANY));
    assert_eq!(read(&laughs(20, 10)), Err(TOO_MANY));
    assert_eq!(read(&laughs(100, 0)), Ok(json!([])));
}

#[test]
fn repeated_text_is_refused_above_the_limit_and_read_below() {
    let text = "a".repeat(1 << 20);
    let repeated =
        |times: usize| [b"X\0\0\x10\0", text.as_bytes(), b"\x940(", &b"h\0".repeat(times), b"l."].concat();
    assert_eq!(read(&repeated(17)), Err(TOO_MUCH_TEXT));
    assert!(read(&repeated(16)) == Ok(json!(vec![text.as_str(); 16])));

    let keys = [b"}X\0\0\x10\0", text.as_bytes(), b"\x94Ns(", &b"h\0N".repeat(16), b"u."].concat();
    assert_eq!(read(&keys), Err(TOO_MUCH_TEXT));
}

#[test]
fn more_values_than_are_read_are_refused() {
    let list = |length: usize| [b"](", &b"N".repeat(length)[..], b"e."].concat();
    assert!(read(&list(MAX_VALUES - 2)).is_ok());
    assert_eq!(read(&list(MAX_VALUES - 1)), Err(TOO_MANY));
    assert_eq!(read(&[b"N", &b"\x94".repeat(MAX_VALUES + 2)[..], b"."].concat()), Err(TOO_MANY));
}

#[test]
fn what_python_constructs_is_read() {
    let vectors = vectors("constructors");
    assert_eq!(vectors.len(), 12, "three protocols of each pickler of Python 2, six of Python 3");
    for (expected, pickle) in vectors {
        assert!(is_pickle(&pickle));
        assert_eq!(read(&pickle).ok(), expected, "{}", pickle.escape_ascii());
    }
}

#[test]
fn constructors() {
    let time = |state: &str, rest: &str| format!("cdatetime\ndatetime\n({state}{rest}tR").into_bytes();
    // Year 1986 and month 1 with the bit of a repeated hour are UTF-8, which the state is not taken for.
    let repeated = "S'\\x07\\xc2\\x81\\x02\\x03\\x04\\x05\\x00\\xc3\\xa9'\n";
    let zone = |seconds: &str| {
        format!("cdatetime\ntimezone\n(cdatetime\ntimedelta\n(I0\nI{seconds}\nI0\ntRS'named'\ntR")
    };
    assert_values([
        (&time(repeated, ""), json!("1986-01-02T03:04:05.050089")),
        (&time(repeated, &zone("19800")), json!("1986-01-02T03:04:05.050089+05:30")),
        (&time("V\x07\\u00de\x02\x1c\x17;;\\u0000\\u0000\\u0000\n", ""), json!("2014-02-28T23:59:59")),
        (b"cdatetime\ndate\n(S'\\x07\\xd0\\x02\\x1d'\ntR", json!("2000-02-29")),
        (b"(cdatetime\ndate\n(S'\\x07\\xd0\\x02\\x1d'\ntRNd", json!({ "2000-02-29": null })),
        (b"cdecimal\nDecimal\n(S'-0.1E+400'\ntR", json!("-0.1E+400")),
        (b"cdecimal\nDecimal\n(VNaN\ntR", json!("NaN")),
        (
            b"cuuid\nUUID\n)\x81}U\x03intL340282366920938463463374607431768211455L\nsb",
            json!("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ),
        (b"(cuuid\nUUID\n)\x81}U\x03intK\x05sbNd", json!({ "00000000-0000-0000-0000-000000000005": null })),
        (b"c__builtin__\nset\n)R(K\x01\x90", json!([1])),
        (b"cbuiltins\nfrozenset\n)R", json!([])),
        (b"cbuiltins\nbytes\n)R", json!("")),
        (b"c_codecs\nencode\n(X\x04\0\0\0\xc3\x83\xc2\xa9Vlatin1\ntR", json!("é")),
        (b"ccollections\ndefaultdict\n(c__builtin__\nlist\ntRS'a'\n]s", json!({ "a": [] })),
        (b"\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R\x8c\x01a\x88s", json!({ "a": true })),
        (b"ccollections\nOrderedDict\n(](S'a'\nK\x01latR", json!({ "a": 1 })),
    ]);
}

#[test]
fn objects_that_python_would_not_make_are_refused() {
    let bodies: [&[u8]; 18] = [
        // No such day, hour, microsecond or length.
        b"cdatetime\ndate\n(S'\\x07\\xdd\\x02\\x1d'\ntR",
        b"cdatetime\ndate\n(S'\\x00\\x00\\x02\\x01'\ntR",
        b"cdatetime\ndate\n(S'\\x07\\xde\\r\\x01'\ntR",
        b"cdatetime\ndate\n(S'\\x07\\xde\\x01'\ntR",
        b"cdatetime\ndatetime\n(S'\\x07\\xde\\x01\\x02\\x18\\x04\\x05\\x00\\x00\\x00'\ntR",
        b"cdatetime\ndatetime\n(S'\\x07\\xde\\x01\\x02\\x03\\x04\\x05\\xff\\xff\\xff'\ntR",
        b"cdatetime\ndatetime\n(S'\\x07\\xde\\x01\\x02\\x03\\x04\\x05\\x00\\x00\\x00\\x00'\ntR",
        b"cdatetime\ndatetime\n(I5\ntR",
        b"cdatetime\ntimezone\n(cdatetime\ntimedelta\n(I1\nI0\nI0\ntRtR",
        b"cdatetime\ntimedelta\n(I9223372036854775807\nI0\nI0\ntR",
        b"cdecimal\nDecimal\n(S'1.2.3'\ntR",
        b"cdecimal\nDecimal\n(S''\ntR",
        b"cdecimal\nDecimal\n(S'1E'\ntR",
        b"cdecimal\nDecimal\n(I1\ntR",
        b"cuuid\nUUID\n)\x81",
        b"cuuid\nUUID\n)\x81}b",
        b"cuuid\nUUID\n)\x81}U\x03intI-1\nsb",
        b"ccollections\nOrderedDict\n((lS'a'\natR",
    ];
    assert_refused(BROKEN, bodies);
    assert_refused(TOO_BIG_INTEGER, [format!("cdecimal\nDecimal\n(S'{}'\ntR", "1".repeat(1001)).as_bytes()]);
    assert_eq!(read("c_codecs\nencode\n(V\\u0100\nVlatin1\ntR.".as_bytes()), Err(BROKEN));
}

/// Calls that take few bytes and would copy much.
#[test]
fn what_calls_copy_counts_as_if_it_were_there() {
    let items = 10_000;
    let list = [b"](", &b"N".repeat(items)[..], b"e\x940"].concat();
    let pairs = [&b"NN\x86\x940]("[..], &b"h\0".repeat(items)[..], b"e\x940"].concat();
    let calls = |head: &[u8], name: &str, list: &str, times: usize| {
        let call = format!("{name}\n({list}tR0").into_bytes();
        [head, &call.repeat(times)[..], b"N."].concat()
    };
    for (head, name, remembered) in [
        (&list, "cbuiltins\nset", "g0\n"),
        (&list, "cbuiltins\nfrozenset", "g0\n"),
        (&pairs, "ccollections\nOrderedDict", "g1\n"),
    ] {
        assert_eq!(read(&calls(head, name, remembered, 90)), Ok(Value::Null), "{name}");
        assert_eq!(read(&calls(head, name, remembered, 110)), Err(TOO_MANY), "{name}");
    }
    let text =
        [b"X\0\0\x10\0", "é".repeat(1 << 19).as_bytes(), b"\x940c_codecs\nencode\n(h\0Vlatin1\ntR\x940"]
            .concat();
    let repeated = |times: usize| [&text[..], b"](", &b"h\x01".repeat(times)[..], b"e."].concat();
    assert_eq!(read(&repeated(40)), Err(TOO_MUCH_TEXT));
    assert!(read(&repeated(15)).is_ok());
}

/// Bytes that are opcodes more often than chance would have it.
fn program() -> impl Strategy<Value = Vec<u8>> {
    let opcodes =
        b"(.012NIJKLMFGSTUVXBC]la)t}dsupqrghjRb\x80\x81\x85\x86\x87\x88\x8a\x8c\x8e\x8f\x90\x91\x93\x94"
            .to_vec();
    let byte =
        prop_oneof![4 => prop::sample::select(opcodes), 2 => 0_u8..4, 1 => Just(b'\n'), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..200)
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (prop::sample::select(valid()), edits).prop_map(|(mut pickle, edits)| {
        for (index, byte) in edits {
            let index = index.index(pickle.len());
            pickle[index] = byte;
        }
        pickle
    })
}

proptest! {
    #[test]
    fn whatever_is_read_was_no_json_and_can_be_written_as_json(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), program(), mutated()],
    ) {
        is_pickle(&bytes);
        if let Ok(value) = read(&bytes) {
            let json = serde_json::to_string(&value).unwrap();
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_err(), "it is json too");
        }
    }
}
