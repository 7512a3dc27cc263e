//! The text of a key and the name of its entry.
use md5::{Digest, Md5};
#[cfg(any(feature = "uuid", feature = "chrono", feature = "time"))]
use std::fmt::Write;

/// A value that has an exact text, so that it can be part of a cache key.
///
/// Implement it for your own key types; two values that the database tells apart must have two texts.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot be part of a cache key",
    label = "has no exact text",
    note = "integers, `bool`, `char`, `String`, chrono's types, `Uuid` (feature `uuid`) and `Option` of them can; implement `KeyText` for your own type; floats have no exact text"
)]
pub trait KeyText {
    /// Appends the value's text.
    fn write_key(&self, out: &mut String);

    /// Whether it is NULL, which has no text: a lookup by NULL is left to the database, because any number of rows
    /// may match.
    fn is_null(&self) -> bool {
        false
    }
}

impl<T: KeyText> KeyText for Option<T> {
    fn write_key(&self, out: &mut String) {
        if let Some(value) = self {
            value.write_key(out);
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

macro_rules! integers { ($($t:ty)*) => { $(impl KeyText for $t {
    fn write_key(&self, out: &mut String) {
        out.push_str(itoa::Buffer::new().format(*self));
    }
})* } }
integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

impl KeyText for char {
    fn write_key(&self, out: &mut String) {
        out.push(*self);
    }
}

impl KeyText for bool {
    /// `True` and `False`, as the origin's `unicode(value)` has it.
    fn write_key(&self, out: &mut String) {
        out.push_str(if *self { "True" } else { "False" });
    }
}

impl KeyText for str {
    fn write_key(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl KeyText for String {
    fn write_key(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl<T: KeyText + ?Sized> KeyText for &T {
    fn write_key(&self, out: &mut String) {
        (**self).write_key(out);
    }

    fn is_null(&self) -> bool {
        (**self).is_null()
    }
}

#[cfg(feature = "uuid")]
impl KeyText for uuid::Uuid {
    /// Lower case, with hyphens.
    fn write_key(&self, out: &mut String) {
        // Writing to a `String` does not fail.
        let _ = write!(out, "{}", self.hyphenated());
    }
}

#[cfg(feature = "chrono")]
mod with_chrono {
    use super::{KeyText, Write};
    use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

    macro_rules! formatted { ($($t:ty: $format:literal)*) => { $(impl KeyText for $t {
        fn write_key(&self, out: &mut String) {
            let _ = write!(out, "{}", self.format($format));
        }
    })* } }
    formatted!(NaiveDate: "%Y-%m-%d"  NaiveDateTime: "%Y-%m-%dT%H:%M:%S%.6f"  DateTime<Utc>: "%Y-%m-%dT%H:%M:%S%.6fZ");
}

#[cfg(feature = "time")]
mod with_time {
    use super::{KeyText, Write};
    use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset};

    impl KeyText for Date {
        fn write_key(&self, out: &mut String) {
            let _ = write!(out, "{:04}-{:02}-{:02}", self.year(), u8::from(self.month()), self.day());
        }
    }

    impl KeyText for PrimitiveDateTime {
        fn write_key(&self, out: &mut String) {
            self.date().write_key(out);
            let (hour, minute, second, microsecond) = self.as_hms_micro();
            let _ = write!(out, "T{hour:02}:{minute:02}:{second:02}.{microsecond:06}");
        }
    }

    impl KeyText for OffsetDateTime {
        fn write_key(&self, out: &mut String) {
            let utc = self.to_offset(UtcOffset::UTC);
            PrimitiveDateTime::new(utc.date(), utc.time()).write_key(out);
            out.push('Z');
        }
    }
}

/// The text of a key: `field=value`.
///
/// Several fields are sorted by name and joined by `:`; there `%`, `:` and `=` in values are escaped, so that
/// no two keys share a text.
pub(crate) fn text_of(parts: &[(&str, &dyn KeyText)]) -> String {
    let mut out = String::with_capacity(32);
    if let [(name, value)] = parts {
        out.extend([name, "="]);
        value.write_key(&mut out);
        return out;
    }
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    for (place, (name, value)) in sorted.into_iter().enumerate() {
        let mut text = String::new();
        value.write_key(&mut text);
        out.extend([if place == 0 { "" } else { ":" }, name, "=", &escaped(&text)]);
    }
    out
}

/// `prefix:Model:md5(text)`, byte for byte as `sentry.db.models` made it for one field.
pub(crate) fn make_key(prefix: &str, model: &str, text: &str) -> String {
    let mut key = String::with_capacity(prefix.len() + model.len() + 2 + 32);
    key.extend([prefix, ":", model, ":"]);
    // Each lookup makes a key, and `{byte:02x}` takes longer than the digest.
    let digits = Md5::digest(text).0.map(|byte| [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
    key.push_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default());
    key
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The key of an outbox entry: `Model:text` or `Model:hash`, of which the text alone has a `=`. None for what is neither.
pub(crate) fn hashed(prefix: &str, entry: &str) -> Option<String> {
    let (model, text) = entry.split_once(':')?;
    Some(match text.contains('=') {
        true => make_key(prefix, model, text),
        false => format!("{prefix}:{entry}"),
    })
}

fn escaped(value: &str) -> String {
    value.replace('%', "%25").replace(':', "%3A").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_made_the_same_keys() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../integration-tests/data/make_key.json")).unwrap();
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
    fn composite_keys_do_not_collide() {
        let key = |a: &str, b: &str| text_of(&[("a", &a), ("b", &b)]);
        let keys = [key("1", "2"), key("1:b=2", ""), key("1%3Ab%3D2", ""), key("", "1:b=2"), key("2", "1")];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(text_of(&[("b", &"2"), ("a", &"1")]), key("1", "2"), "sorted by name");
    }

    #[test]
    fn texts_of_values() {
        let text = |value: &dyn KeyText| {
            let mut out = String::new();
            value.write_key(&mut out);
            out
        };
        assert_eq!(text(&i64::MAX), "9223372036854775807");
        assert_eq!((text(&true), text(&false)), ("True".into(), "False".into()));
    }
}
