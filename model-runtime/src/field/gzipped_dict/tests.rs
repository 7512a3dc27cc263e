#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test should panic")]
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde_json::{Map, Value, json};

use super::encoding::{self, MAX_DECOMPRESSED};
use super::{GzippedDict, GzippedDictError};

const VECTORS: &str = include_str!("../../../../integration-tests/data/gzipped_dict.json");

diesel::table! { dicts (id) { id -> Integer, text -> Text, bytes -> Binary, maybe -> Nullable<Text> } }

#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = dicts, treat_none_as_null = true)]
struct Row {
    id: i32,
    text: GzippedDict,
    bytes: GzippedDict,
    maybe: Option<GzippedDict>,
}

fn database() -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    diesel::sql_query(
        "CREATE TABLE dicts (id INTEGER PRIMARY KEY, text TEXT NOT NULL, bytes BLOB NOT NULL, maybe TEXT)",
    )
    .execute(&mut conn)
    .unwrap();
    conn
}

/// A row whose text and binary columns hold exactly these forms.
fn database_with(text: &str, bytes: &[u8]) -> SqliteConnection {
    let mut conn = database();
    diesel::sql_query("INSERT INTO dicts (id, text, bytes) VALUES (1, ?, ?)")
        .bind::<Text, _>(text)
        .bind::<Binary, _>(bytes)
        .execute(&mut conn)
        .unwrap();
    conn
}

fn load(conn: &mut SqliteConnection) -> QueryResult<Row> {
    dicts::table.select(Row::as_select()).first(conn)
}

fn stored(conn: &mut SqliteConnection) -> (String, Vec<u8>) {
    dicts::table.select((dicts::text, dicts::bytes)).first(conn).unwrap()
}

fn sample() -> GzippedDict {
    [("a".to_owned(), json!([1, 2.5, null])), ("ключ".to_owned(), json!({ "nested": "\"[{" }))]
        .into_iter()
        .collect()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(plain).unwrap();
    zlib.finish().unwrap()
}

/// The undecodable texts of the vectors, and a few shapes of JSON that are no dict.
fn undecodable() -> Vec<String> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let listed = vectors["undecodable"].as_array().unwrap().iter();
    let mut texts: Vec<String> = listed.map(|vector| vector["stored"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts.len(), 4);
    for json in ["[1]", "null", "\"secret\"", "", "{} {}"] {
        texts.push(encoding::to_base64(&zlib(json.as_bytes())));
    }
    texts.push(encoding::to_base64(&zlib(&[b'{', b'"', 0xff, b'"', b':', b'1', b'}'])));
    texts
}

fn refusal(error: &diesel::result::Error) -> &GzippedDictError {
    let mut cause: Option<&(dyn Error + 'static)> = match error {
        diesel::result::Error::SerializationError(cause)
        | diesel::result::Error::DeserializationError(cause) => Some(cause.as_ref()),
        other => panic!("{other:?}"),
    };
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref() {
            return refusal;
        }
        cause = error.source();
    }
    panic!("{error:?}")
}

fn nested(levels: usize) -> GzippedDict {
    let inner = (1..levels).fold(json!("]]]"), |inner, _| json!([inner]));
    GzippedDict::from_iter([("deep".to_owned(), inner)])
}

/// A dict whose JSON is this long.
fn sized(bytes: usize) -> GzippedDict {
    GzippedDict::from_iter([("k".to_owned(), Value::String("x".repeat(bytes - r#"{"k":""}"#.len())))])
}

#[test]
fn a_dict_survives_text_binary_and_nullable_columns() {
    let mut conn = database();
    let rows = [
        Row { id: 1, text: sample(), bytes: sample(), maybe: Some(sample()) },
        Row { id: 2, text: GzippedDict::new(), bytes: GzippedDict::new(), maybe: None },
    ];
    diesel::insert_into(dicts::table).values(rows.as_slice()).execute(&mut conn).unwrap();
    assert_eq!(dicts::table.select(Row::as_select()).load(&mut conn).unwrap(), rows);

    let (text, bytes) = stored(&mut conn);
    assert_eq!(encoding::decode_text::<Value>(&text).unwrap(), Value::Object(sample().into_inner()));
    assert_eq!(text, encoding::to_base64(&bytes));
    let mut plain = String::new();
    flate2::read::ZlibDecoder::new(&bytes[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, serde_json::to_string(&sample()).unwrap());
}

#[test]
fn nothing_stored_reads_as_empty() {
    let row = load(&mut database_with("", b"")).unwrap();
    assert_eq!(row, Row { id: 1, text: GzippedDict::new(), bytes: GzippedDict::new(), maybe: None });
    assert!(!row.text.is_undecodable() && !row.bytes.is_undecodable());
}

#[test]
fn wrapped_base64_is_read() {
    let text = sample().as_text().unwrap().to_owned();
    let (head, tail) = text.split_at(7);
    let row = load(&mut database_with(&format!("{head}\r\n{tail}\n"), b"")).unwrap();
    assert_eq!(row.text, sample());
}

#[test]
fn undecodable_input_reads_as_empty_and_is_written_back_untouched() {
    for text in undecodable() {
        let bytes = encoding::decode_base64(&text).unwrap_or_else(|_| b"\xff\x00".to_vec());
        let mut conn = database_with(&text, &bytes);
        let row = load(&mut conn).unwrap();
        assert!(row.text.is_empty() && row.text.is_undecodable(), "{text}");
        assert!(row.bytes.is_empty() && row.bytes.is_undecodable(), "{text}");
        assert_eq!(row.text.raw(), Some(text.as_bytes()));
        assert_eq!(row.bytes.raw(), Some(bytes.as_slice()));

        diesel::sql_query("UPDATE dicts SET text = '', bytes = ''").execute(&mut conn).unwrap();
        diesel::update(dicts::table).set(&row.clone()).execute(&mut conn).unwrap();
        assert_eq!(stored(&mut conn), (text, bytes));
    }
}

#[test]
fn undecodable_input_is_warned_about_without_its_content() {
    let log = Log::default();
    let secret = encoding::to_base64(&zlib(br#""secret""#));
    tracing::subscriber::with_default(log.clone(), || {
        for text in ["%%%", &secret, "", sample().as_text().unwrap()] {
            GzippedDict::<Map<_, _>>::from_text(text.to_owned()).unwrap();
        }
    });
    let lines = log.0.lock().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("WARN ")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("%%%") || line.contains(&secret)), "{lines:?}");
    assert!(lines[0].contains("stored_bytes=3 reason=\"not base64\""), "{lines:?}");
    let expected = format!("stored_bytes={} reason=\"json of another shape\"", secret.len());
    assert!(lines[1].contains(&expected), "{lines:?}");
}

/// Remembers the fields of every event.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &tracing::field::Field, value: &dyn fmt::Debug| {
            let _ = write!(line, " {field}={value:?}");
        });
        self.0.lock().unwrap().push(line);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_truncated_stream_is_undecodable() {
    let whole = zlib(br#"{"a":1}"#);
    for length in 1..whole.len() {
        let row = load(&mut database_with("", &whole[..length])).unwrap();
        assert!(row.bytes.is_undecodable(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn undecodable_input_keeps_its_content_in_a_column_of_the_other_type() {
    let mut row = load(&mut database_with("%%%", b"\xff\x00")).unwrap();
    std::mem::swap(&mut row.text, &mut row.bytes);
    let mut conn = database();
    diesel::insert_into(dicts::table).values(&row).execute(&mut conn).unwrap();
    assert_eq!(stored(&mut conn), ("/wA=".to_owned(), b"%%%".to_vec()));
}

#[test]
fn a_modified_dict_is_written_whether_it_was_bound_or_undecodable_before() {
    let mut conn = database_with("%%%", b"\xff");
    let mut row = load(&mut conn).unwrap();
    for round in 0..2 {
        row.text.insert("round".into(), round.into());
        row.bytes.value_mut().insert("round".into(), round.into());
        assert!(!row.text.is_undecodable() && row.text.raw().is_none());
        diesel::update(dicts::table).set(&row).execute(&mut conn).unwrap();
        assert_eq!(load(&mut conn).unwrap(), row);
        assert_eq!(row.text["round"], round);
    }
}

#[test]
fn a_bomb_is_refused_without_being_inflated() {
    let mut bomb = zlib(&vec![b' '; 2 * MAX_DECOMPRESSED]);
    assert!(bomb.len() < 100_000);
    // Whoever inflates all of it sees that it is broken instead.
    bomb.truncate(bomb.len() - 8);
    for (text, bytes) in [(encoding::to_base64(&bomb), vec![]), (String::new(), bomb)] {
        let error = load(&mut database_with(&text, &bytes)).unwrap_err();
        let refusal = refusal(&error);
        assert!(matches!(refusal, GzippedDictError::TooLarge), "{error:?}");
        let text = refusal.to_string();
        assert!(text.starts_with("gzipped dict is larger than 16777216 bytes decompressed"), "{text}");
    }
}

#[test]
fn a_stored_form_longer_than_any_dict_is_refused() {
    let long = "A".repeat(2 * MAX_DECOMPRESSED + 4);
    for (text, bytes) in [(long.as_str(), b"".as_slice()), ("", long.as_bytes())] {
        let error = load(&mut database_with(text, bytes)).unwrap_err();
        assert!(matches!(refusal(&error), GzippedDictError::StoredTooLarge(_)), "{error:?}");
    }
}

#[test]
fn an_oversized_dict_is_not_written_and_one_byte_less_is_read_back() {
    let mut conn = database();
    let fits = Row { id: 1, text: sized(MAX_DECOMPRESSED), bytes: sized(MAX_DECOMPRESSED), maybe: None };
    diesel::insert_into(dicts::table).values(&fits).execute(&mut conn).unwrap();
    assert!(load(&mut conn).unwrap() == fits);

    let over = sized(MAX_DECOMPRESSED + 1);
    let text = diesel::update(dicts::table).set(dicts::text.eq(&over)).execute(&mut conn).unwrap_err();
    let bytes = diesel::update(dicts::table).set(dicts::bytes.eq(&over)).execute(&mut conn).unwrap_err();
    for error in [text, bytes] {
        assert!(matches!(refusal(&error), GzippedDictError::TooLarge), "{error:?}");
    }
    assert!(rmp_serde::to_vec(&over).is_err());
}

#[test]
fn a_dict_too_deep_to_be_read_back_is_not_written() {
    assert_eq!(
        GzippedDict::<Map<_, _>>::from_text(nested(127).as_text().unwrap().to_owned()).unwrap(),
        nested(127)
    );
    assert!(matches!(nested(128).as_text(), Err(GzippedDictError::TooDeep)));
    assert!(matches!(nested(128).as_bytes(), Err(GzippedDictError::TooDeep)));
    let brackets_in_text = GzippedDict::from_iter([("flat".to_owned(), json!("\"[".repeat(300)))]);
    assert!(brackets_in_text.as_text().is_ok());
}

#[test]
fn equality_sees_values_and_undecodable_forms() {
    let mut row = load(&mut database_with("%%%", b"%%%")).unwrap();
    assert_eq!(row.text, row.text.clone());
    assert_ne!(row.text, GzippedDict::new());
    assert_ne!(row.text, GzippedDict::from_text("%%".to_owned()).unwrap());
    assert_ne!(sample(), GzippedDict::new());
    row.text.clear();
    assert_eq!(row.text, GzippedDict::new());
}

#[test]
fn debug_shows_the_value_and_marks_the_undecodable() {
    assert_eq!(
        format!("{:?}", GzippedDict::from_iter([("a".to_owned(), json!(1))])),
        r#"GzippedDict({"a": Number(1)})"#
    );
    let undecodable = GzippedDict::<Map<_, _>>::from_text("%%%".to_owned()).unwrap();
    assert_eq!(format!("{undecodable:?}"), "GzippedDict({}, undecodable, 3 bytes)");
}

#[test]
fn the_cache_form_loses_nothing() {
    let mut conn = database_with("%%%", b"\xff\x00");
    let row = load(&mut conn).unwrap();
    for dict in [sample(), GzippedDict::new(), row.text, row.bytes] {
        for cached in [rmp_serde::to_vec(&dict).unwrap(), rmp_serde::to_vec_named(&dict).unwrap()] {
            let back: GzippedDict = rmp_serde::from_slice(&cached).unwrap();
            assert_eq!((back.raw(), &back), (dict.raw(), &dict));
        }
    }
    assert_eq!(
        rmp_serde::from_slice::<Option<GzippedDict>>(&rmp_serde::to_vec(&Some(sample())).unwrap()).unwrap(),
        Some(sample())
    );
}

#[test]
fn broken_cache_bytes_are_an_error() {
    let padded = format!("{{}}{}", " ".repeat(MAX_DECOMPRESSED));
    for (tag, text) in [(0_u8, "[1]"), (0, ""), (0, padded.as_str()), (2, "%%%"), (3, "{}")] {
        let cached = rmp_serde::to_vec(&(tag, text)).unwrap();
        assert!(rmp_serde::from_slice::<GzippedDict>(&cached).is_err(), "{tag}");
    }
}

#[test]
fn in_a_human_readable_format_it_is_its_value() {
    let json = serde_json::to_value(sample()).unwrap();
    assert_eq!(json, Value::Object(sample().into_inner()));
    assert_eq!(serde_json::from_value::<GzippedDict>(json).unwrap(), sample());
    assert!(serde_json::from_value::<GzippedDict>(json!([1])).is_err());
}

#[test]
fn another_type_than_a_map_can_be_kept() {
    let mut conn = database();
    let list = GzippedDict::from(vec![1_u8, 2]);
    diesel::insert_into(dicts::table)
        .values((dicts::id.eq(1), dicts::text.eq(&list), dicts::bytes.eq(list.clone())))
        .execute(&mut conn)
        .unwrap();
    let back: (GzippedDict<Vec<u8>>, GzippedDict<Vec<u8>>) =
        dicts::table.select((dicts::text, dicts::bytes)).first(&mut conn).unwrap();
    assert_eq!(back, (list.clone(), list));
    assert!(load(&mut conn).unwrap().text.is_undecodable());
}

#[test]
fn a_dict_can_be_sent_and_shared() {
    fn is_send_and_sync<T: Send + Sync + 'static>(_: &T) {}
    is_send_and_sync(&GzippedDict::from(Map::new()));
}
