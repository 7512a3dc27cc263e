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

    /// Whether the database takes no other value for the same. A collation may take two texts for one, so that a row is
    /// found by a text that it does not carry; of integers, times and the like there is no such thing.
    fn is_exact(&self) -> bool {
        false
    }

    /// The value as it is stored by a database that keeps times to the microsecond: with the rest cut off.
    #[must_use]
    fn in_microseconds(self) -> Self
    where
        Self: Sized,
    {
        self
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

    fn is_exact(&self) -> bool {
        self.as_ref().is_none_or(KeyText::is_exact)
    }

    fn in_microseconds(self) -> Self {
        self.map(KeyText::in_microseconds)
    }
}

macro_rules! integers { ($($t:ty)*) => { $(impl KeyText for $t {
    fn write_key(&self, out: &mut String) {
        out.push_str(itoa::Buffer::new().format(*self));
    }

    fn is_exact(&self) -> bool {
        true
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

    fn is_exact(&self) -> bool {
        true
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

    fn is_exact(&self) -> bool {
        (**self).is_exact()
    }
}

#[cfg(feature = "uuid")]
impl KeyText for uuid::Uuid {
    /// Lower case, with hyphens.
    fn write_key(&self, out: &mut String) {
        // Writing to a `String` does not fail.
        let _ = write!(out, "{}", self.hyphenated());
    }

    fn is_exact(&self) -> bool {
        true
    }
}

/// The digits behind a second: six where they say all, else nine, so that one time has one text.
#[cfg(any(feature = "chrono", feature = "time"))]
fn write_fraction(out: &mut String, nanosecond: u32) {
    let _ = match nanosecond % 1000 {
        0 => write!(out, ".{:06}", nanosecond / 1000),
        _ => write!(out, ".{nanosecond:09}"),
    };
}

#[cfg(feature = "chrono")]
mod with_chrono {
    use super::{KeyText, Write, write_fraction};
    use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike, Utc};

    impl KeyText for NaiveDate {
        fn write_key(&self, out: &mut String) {
            let _ = write!(out, "{}", self.format("%Y-%m-%d"));
        }

        fn is_exact(&self) -> bool {
            true
        }
    }

    impl KeyText for NaiveDateTime {
        fn write_key(&self, out: &mut String) {
            let _ = write!(out, "{}", self.format("%Y-%m-%dT%H:%M:%S"));
            // A leap second counts on: its fraction is what is beyond one second.
            write_fraction(out, self.nanosecond() % 1_000_000_000);
        }

        fn is_exact(&self) -> bool {
            true
        }

        fn in_microseconds(self) -> Self {
            let nanosecond = self.nanosecond();
            self.with_nanosecond(nanosecond - nanosecond % 1000).unwrap_or(self)
        }
    }

    impl KeyText for DateTime<Utc> {
        fn write_key(&self, out: &mut String) {
            self.naive_utc().write_key(out);
            out.push('Z');
        }

        fn is_exact(&self) -> bool {
            true
        }

        fn in_microseconds(self) -> Self {
            self.naive_utc().in_microseconds().and_utc()
        }
    }
}

#[cfg(feature = "time")]
mod with_time {
    use super::{KeyText, Write, write_fraction};
    use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset};

    impl KeyText for Date {
        fn write_key(&self, out: &mut String) {
            let _ = write!(out, "{:04}-{:02}-{:02}", self.year(), u8::from(self.month()), self.day());
        }

        fn is_exact(&self) -> bool {
            true
        }
    }

    impl KeyText for PrimitiveDateTime {
        fn write_key(&self, out: &mut String) {
            self.date().write_key(out);
            let (hour, minute, second, nanosecond) = self.as_hms_nano();
            let _ = write!(out, "T{hour:02}:{minute:02}:{second:02}");
            write_fraction(out, nanosecond);
        }

        fn is_exact(&self) -> bool {
            true
        }

        fn in_microseconds(self) -> Self {
            let nanosecond = self.nanosecond();
            self.replace_nanosecond(nanosecond - nanosecond % 1000).unwrap_or(self)
        }
    }

    impl KeyText for OffsetDateTime {
        fn write_key(&self, out: &mut String) {
            match self.checked_to_offset(UtcOffset::UTC) {
                Some(utc) => PrimitiveDateTime::new(utc.date(), utc.time()).write_key(out),
                // Within a day of the last year or the first one its date in UTC is none that the crate has.
                None => {
                    let _ = write!(out, "{}", self.unix_timestamp_nanos());
                }
            }
            out.push('Z');
        }

        fn is_exact(&self) -> bool {
            true
        }

        fn in_microseconds(self) -> Self {
            let nanosecond = self.nanosecond();
            self.replace_nanosecond(nanosecond - nanosecond % 1000).unwrap_or(self)
        }
    }
}

/// The text of a key: `field=value` of one field, `:a=1:b=2` of several.
///
/// Several fields are sorted by name, and `%`, `:` and `=` in their values are escaped. No name of a field begins with
/// `:`, so that no two keys share a text, however many fields they have. A NULL is a name alone, which is no text that
/// a value has.
pub(crate) fn text_of(parts: &[(&str, &dyn KeyText)]) -> String {
    let mut out = String::with_capacity(32);
    if let [(name, value)] = parts {
        out.push_str(name);
        if !value.is_null() {
            out.push('=');
            value.write_key(&mut out);
        }
        return out;
    }
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    for (name, value) in sorted {
        out.extend([":", *name]);
        if !value.is_null() {
            let mut text = String::new();
            value.write_key(&mut text);
            out.extend(["=", &escaped(&text)]);
        }
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
mod tests;
