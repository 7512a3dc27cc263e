use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn text(value: &dyn KeyText) -> String {
    let mut out = String::new();
    value.write_key(&mut out);
    out
}

#[test]
fn the_origin_made_the_same_keys() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../integration-tests/data/make_key.json")).unwrap();
    for vector in vectors.as_array().unwrap() {
        let fields = vector["fields"].as_object().unwrap();
        let values: Vec<_> = fields.values().map(|value| value.as_str().unwrap()).collect();
        let names = fields.keys().map(|name| if name == "pk" { "id" } else { name });
        let parts: Vec<_> = names.zip(values.iter().map(|value| value as &dyn KeyText)).collect();
        let model = vector["model"].as_str().unwrap();
        assert_eq!(make_key("modelcache", model, &text_of(&parts)), vector["key"]);
    }
}

#[test]
fn a_composite_is_sorted_by_name_and_escaped() {
    assert_eq!(text_of(&[("b", &"2"), ("a", &1)]), ":a=1:b=2");
    assert_eq!(text_of(&[("a", &"1:b=2"), ("b", &"100%")]), ":a=1%3Ab%3D2:b=100%25");
    assert_eq!(text_of(&[("a", &"1"), ("b", &None::<i32>)]), ":a=1:b");
}

#[test]
fn an_entry_of_the_outbox_is_a_text_or_a_hash() {
    for text in ["id=1", ":a=1:b=2", "slug=a:b=c"] {
        let key = make_key("modelcache", "Project", text);
        assert_eq!(hashed("modelcache", &format!("Project:{text}")), Some(key.clone()));
        assert_eq!(hashed("modelcache", key.strip_prefix("modelcache:").unwrap()), Some(key));
    }
}

#[test]
fn texts_of_values() {
    assert_eq!(text(&i64::MAX), "9223372036854775807");
    assert_eq!((text(&true), text(&false)), ("True".into(), "False".into()));
}

#[cfg(feature = "chrono")]
#[test]
fn times_keep_what_a_database_may_tell_apart() {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
    let at = |nanosecond| {
        NaiveDate::from_ymd_opt(2026, 1, 2).unwrap().and_hms_nano_opt(3, 4, 59, nanosecond).unwrap()
    };
    assert_eq!(text(&at(0)), "2026-01-02T03:04:59.000000");
    assert_eq!(text(&at(5_000)), "2026-01-02T03:04:59.000005");
    assert_eq!(text(&at(5_001).and_utc()), "2026-01-02T03:04:59.000005001Z");
    assert_eq!(text(&at(1_500_000_000)), "2026-01-02T03:04:60.500000", "a leap second");
    assert_eq!(at(5_001).in_microseconds(), at(5_000));
    for end in [NaiveDateTime::MIN, NaiveDateTime::MAX] {
        assert_ne!(text(&end), text(&end.in_microseconds().and_utc()));
    }
    for end in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert!(text(&end.in_microseconds()).ends_with('Z'));
    }
}

#[cfg(feature = "time")]
#[test]
fn a_time_has_one_text_in_every_zone_and_beyond_the_last_year() {
    use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};
    let at = |year, (month, day), nanosecond| {
        let date = Date::from_calendar_date(year, month, day).unwrap();
        PrimitiveDateTime::new(date, Time::from_hms_nano(23, 59, 59, nanosecond).unwrap())
    };
    let offset = |hours| UtcOffset::from_hms(hours, 0, 0).unwrap();
    let last = at(9999, (Month::December, 31), 0);
    let (noon, nano) = (at(2026, (Month::May, 1), 7_000), at(2026, (Month::May, 1), 7_001));
    assert_eq!(text(&noon), "2026-05-01T23:59:59.000007");
    assert_eq!(text(&noon.assume_offset(offset(1))), "2026-05-01T22:59:59.000007Z");
    assert_eq!(text(&nano.assume_utc()), "2026-05-01T23:59:59.000007001Z");
    assert_eq!((nano.in_microseconds(), nano.assume_utc().in_microseconds()), (noon, noon.assume_utc()));
    let beyond = |hours| text(&last.assume_offset(offset(hours)));
    assert_eq!(beyond(0), "9999-12-31T23:59:59.000000Z");
    assert_eq!(beyond(-5), "253402318799000000000Z");
    assert_ne!(beyond(-5), beyond(-6));
    let earlier = (last - time::Duration::HOUR).assume_offset(offset(-6));
    assert_eq!(text(&earlier), beyond(-5), "one time, one text");
    let first = OffsetDateTime::new_in_offset(Date::MIN, Time::MIDNIGHT, offset(5));
    assert!(text(&first.in_microseconds()).starts_with('-'));
}

/// Names and values made of what texts are joined by.
fn key() -> impl Strategy<Value = Vec<(&'static str, Option<String>)>> {
    let names = prop::sample::subsequence(vec!["a", "b", "ab", "a__iexact", "b2"], 1..=4).prop_shuffle();
    let hostile = prop_oneof![
        4 => "[ab1:=%]{0,8}",
        2 => prop::sample::select(vec!["1:b=2", "x:b=y", "%3Ab%3D", "%", "%25", ":a=1:b=2", "=", "None", ""])
            .prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let value = prop::option::weighted(0.9, hostile);
    (names, prop::collection::vec(value, 4))
        .prop_map(|(names, values)| names.into_iter().zip(values).collect())
}

fn text_of_key(key: &[(&'static str, Option<String>)]) -> String {
    let parts: Vec<_> = key.iter().map(|(name, value)| (*name, value as &dyn KeyText)).collect();
    text_of(&parts)
}

proptest! {
    #[test]
    fn no_two_keys_share_a_text(keys in prop::collection::vec(key(), 2..12)) {
        let mut seen = HashMap::new();
        for mut key in keys {
            let text = text_of_key(&key);
            key.sort();
            prop_assert_eq!(&text_of_key(&key), &text, "the order of the fields says nothing");
            let known = seen.entry(text).or_insert_with(|| key.clone());
            prop_assert_eq!(known, &key);
        }
    }

    #[test]
    fn a_text_is_no_text_of_another_key(one in key(), other in key()) {
        // What the one says, as the only value of another.
        let (text, outer) = (text_of_key(&one), other.first().map_or("a", |(name, _)| *name));
        for (name, value) in [(outer, text.clone()), ("a", text.strip_prefix("a=").unwrap_or(&text).to_owned())] {
            let key = [(name, Some(value))];
            prop_assert!(text_of_key(&key) != text || one == key, "{}", text);
        }
    }
}
