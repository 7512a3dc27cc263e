//! A JSON object kept compressed in one text or binary column.
mod encoding;
#[cfg(feature = "legacy-pickle")]
mod legacy_pickle;
mod sql;
#[cfg(all(test, feature = "sqlite"))]
mod tests;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::{Binary, Text};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::encoding::Fault;
pub(crate) use self::encoding::GzippedDictError;

/// A JSON object stored compressed: `base64(zlib(JSON))` in a text column, `zlib(JSON)` in a binary one.
///
/// It dereferences to its value, a [`Map`] unless another `T` is named: `data.insert(…)`, `data["key"]`,
/// `data.get("key")`. An empty string reads as an empty dict; a nullable column is an
/// `Option<GzippedDict>`.
///
/// A stored form that does not decode, because it is not base64, zlib or JSON, or JSON of another shape,
/// is logged as a warning and reads as an empty dict that [is undecodable](Self::is_undecodable): it is
/// written back byte for byte until the value is borrowed mutably, so that saving a row never destroys
/// what this program cannot read. Two such dicts are equal where their stored forms are.
///
/// With the feature `legacy-pickle` it also reads what `sentry.db.models` stored: Python pickles of data, protocols 0 to
/// 5, row by row beside JSON. Of `OrderedDict`, `defaultdict`, `set`, `frozenset`, `datetime`, `date`, `Decimal` and `UUID` it
/// reads what they hold, as objects, arrays and texts; a pickle that names anything else is undecodable, and nothing is run.
/// What is written is JSON, so a column turns over as its rows are modified.
///
/// # Errors
///
/// Reading and writing fail above [`MAX_DECOMPRESSED`](GzippedDict::MAX_DECOMPRESSED) bytes of JSON, and
/// writing fails beyond 127 levels of nesting, which is as deep as `serde_json` reads. A write is refused
/// before anything is sent.
///
/// # Example: a dict in a text column
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use diesel::prelude::*;
/// use model_runtime::prelude::*;
///
/// diesel::table! { projects (id) { id -> Integer, data -> Text } }
///
/// let mut conn = SqliteConnection::establish(":memory:")?;
/// diesel::sql_query("CREATE TABLE projects (id INTEGER PRIMARY KEY, data TEXT NOT NULL)")
///     .execute(&mut conn)?;
///
/// let mut data = GzippedDict::new();
/// data.insert("retries".into(), 3.into());
/// diesel::insert_into(projects::table)
///     .values((projects::id.eq(1), projects::data.eq(&data)))
///     .execute(&mut conn)?;
///
/// let stored: GzippedDict = projects::table.select(projects::data).first(&mut conn)?;
/// assert_eq!(stored["retries"], 3);
/// assert_eq!(stored, data);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
///
/// # Example: a value of known shape
///
/// ```
/// use model_runtime::GzippedDict;
///
/// // Any type of serde with a default; a struct is the usual one.
/// let mut hosts = GzippedDict::<Vec<String>>::default();
/// hosts.push("pump-1".into());
/// assert_eq!(hosts.value(), &["pump-1"]);
/// ```
#[derive(FromSqlRow, AsExpression)]
#[diesel(sql_type = Text, sql_type = Binary)]
pub struct GzippedDict<T = Map<String, Value>> {
    value: T,
    /// What was stored where that could not be decoded; `value` is then the default.
    raw: Option<Raw>,
    /// The encoded forms, made when first bound; kept here because a bind borrows from the value.
    text: OnceLock<String>,
    bytes: OnceLock<Vec<u8>>,
}

/// A stored form as the column gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Raw {
    Text(String),
    Bytes(Vec<u8>),
}

impl GzippedDict {
    /// The most bytes of JSON that are read or written: 16 MiB.
    pub const MAX_DECOMPRESSED: usize = encoding::MAX_DECOMPRESSED;

    /// An empty dict; for another `T` than a map, use [`Default`] or [`From`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T> GzippedDict<T> {
    /// The value; the default where the stored form [is undecodable](Self::is_undecodable).
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value, to be modified: from here on the value is what is written, and an undecodable stored
    /// form is given up, whether or not anything is changed through the reference.
    pub fn value_mut(&mut self) -> &mut T {
        self.raw = None;
        self.text.take();
        self.bytes.take();
        &mut self.value
    }

    /// The value alone; an undecodable stored form is given up.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Whether the column held something that could not be decoded and that will be written back as it was.
    #[must_use]
    pub fn is_undecodable(&self) -> bool {
        self.raw.is_some()
    }

    /// The undecodable stored form: of a text column the text's bytes, of a binary column the bytes.
    ///
    /// `None` where the dict was decoded, made in memory or modified.
    #[must_use]
    pub fn raw(&self) -> Option<&[u8]> {
        self.raw.as_ref().map(Raw::as_bytes)
    }
}

impl<T: DeserializeOwned + Default> GzippedDict<T> {
    fn from_text(text: String) -> Result<Self, GzippedDictError> {
        let decoded = encoding::decode_text(&text);
        Self::or_undecodable(decoded, Raw::Text(text))
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<Self, GzippedDictError> {
        let decoded = encoding::decode_bytes(&bytes);
        Self::or_undecodable(decoded, Raw::Bytes(bytes))
    }

    /// The warning names no content: dicts hold what users sent, secrets included.
    fn or_undecodable(decoded: Result<T, Fault>, raw: Raw) -> Result<Self, GzippedDictError> {
        match decoded {
            Ok(value) => Ok(Self::from(value)),
            Err(Fault::Refused(error)) => Err(error),
            Err(Fault::Undecodable(reason)) => {
                tracing::warn!(
                    stored_bytes = raw.as_bytes().len(),
                    reason,
                    "undecodable gzipped dict; it reads as empty and stays stored as it is until modified"
                );
                Ok(Self { raw: Some(raw), ..Self::default() })
            }
        }
    }
}

impl<T: Serialize> GzippedDict<T> {
    /// The form for a text column. Undecodable bytes become base64, so that nothing of them is lost.
    fn as_text(&self) -> Result<&str, GzippedDictError> {
        if let Some(Raw::Text(text)) = &self.raw {
            return Ok(text);
        }
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let text = match &self.raw {
            Some(raw) => encoding::to_base64(raw.as_bytes()),
            None => encoding::to_base64(&encoding::compress(&self.value)?),
        };
        Ok(self.text.get_or_init(|| text))
    }

    /// The form for a binary column. Undecodable text is kept as its bytes.
    fn as_bytes(&self) -> Result<&[u8], GzippedDictError> {
        if let Some(raw) = self.raw() {
            return Ok(raw);
        }
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let bytes = encoding::compress(&self.value)?;
        Ok(self.bytes.get_or_init(|| bytes))
    }
}

impl Raw {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl<T> Deref for GzippedDict<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value()
    }
}

impl<T> DerefMut for GzippedDict<T> {
    /// The same as [`value_mut`](GzippedDict::value_mut).
    fn deref_mut(&mut self) -> &mut T {
        self.value_mut()
    }
}

impl<T> From<T> for GzippedDict<T> {
    fn from(value: T) -> Self {
        Self { value, raw: None, text: OnceLock::new(), bytes: OnceLock::new() }
    }
}

impl<T: Default> Default for GzippedDict<T> {
    fn default() -> Self {
        Self::from(T::default())
    }
}

impl FromIterator<(String, Value)> for GzippedDict {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        Self::from(Map::from_iter(entries))
    }
}

impl<T: Clone> Clone for GzippedDict<T> {
    /// Copies the value and an undecodable stored form, not the encoded forms.
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), ..Self::from(self.value.clone()) }
    }
}

impl<T: PartialEq> PartialEq for GzippedDict<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.raw == other.raw
    }
}

impl<T: Eq> Eq for GzippedDict<T> {}

impl<T: fmt::Debug> fmt::Debug for GzippedDict<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("GzippedDict");
        tuple.field(&self.value);
        if let Some(raw) = self.raw() {
            tuple.field(&format_args!("undecodable, {} bytes", raw.len()));
        }
        tuple.finish()
    }
}
