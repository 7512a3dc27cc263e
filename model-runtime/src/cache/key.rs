//! The text of a key and the name of its entry.
use md5::{Digest, Md5};
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

// Writing to a `String` does not fail.
macro_rules! displayed { ($($t:ty)*) => { $(impl KeyText for $t {
    fn write_key(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
})* } }
displayed!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize char);

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

/// `prefix:Model:md5(field=value)`, byte for byte as `sentry.db.models` made it for one field.
///
/// Several fields are sorted by name and joined by `:`; there `%`, `:` and `=` in values are escaped, so that
/// no two keys share a text.
#[must_use]
pub fn make_key(prefix: &str, model: &str, fields: &[(&str, String)]) -> String {
    match fields {
        [(name, value)] => of_text(prefix, model, &[name, "=", value]),
        _ => of_text(prefix, model, &[&composite(fields)]),
    }
}

/// The key of an outbox entry: `Model:text` or `Model:hash`, of which the text alone has a `=`. None for what is neither.
pub(crate) fn hashed(prefix: &str, entry: &str) -> Option<String> {
    let (model, text) = entry.split_once(':')?;
    Some(match text.contains('=') {
        true => of_text(prefix, model, &[text]),
        false => format!("{prefix}:{entry}"),
    })
}

fn of_text(prefix: &str, model: &str, text: &[&str]) -> String {
    let mut digest = Md5::new();
    for part in text {
        digest.update(part);
    }
    let mut key = String::with_capacity(prefix.len() + model.len() + 2 + 32);
    key.extend([prefix, ":", model, ":"]);
    // Each lookup makes a key, and `{byte:02x}` takes as long as the digest.
    for byte in digest.finalize() {
        key.extend([byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])));
    }
    key
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn composite(fields: &[(&str, String)]) -> String {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let pairs: Vec<_> = sorted.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    pairs.join(":")
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
            let resolved: Vec<(&str, String)> = fields
                .iter()
                .map(|(name, value)| {
                    (if name == "pk" { "id" } else { name.as_str() }, value.as_str().unwrap().into())
                })
                .collect();
            assert_eq!(make_key("modelcache", vector["model"].as_str().unwrap(), &resolved), vector["key"]);
        }
    }

    #[test]
    fn composite_keys_do_not_collide() {
        let key = |a: &str, b: &str| make_key("p", "M", &[("a", a.into()), ("b", b.into())]);
        let keys = [key("1", "2"), key("1:b=2", ""), key("1%3Ab%3D2", ""), key("", "1:b=2"), key("2", "1")];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        let swapped = make_key("p", "M", &[("b", "2".into()), ("a", "1".into())]);
        assert_eq!(swapped, key("1", "2"), "sorted by name");
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
