//! The bytes of a cached row, field by field, and the fingerprint of their schema.
//!
//! Each field is encoded by itself with MessagePack, which describes its own types: a field may use
//! `#[serde(untagged)]` or `serde_json::Value`; chrono's timestamps are two numbers (`moment`). What serde attributes say
//! on the *struct* is never asked.
#[cfg(feature = "chrono")]
use super::moment::{self, Moment};
use super::outage::OutagePolicy;
use super::phase::Phase;
use crate::field::{FieldOf, KeyCols, KeyTexts};
use crate::model::SentryModel;
use crate::schema::Describe;
use diesel::expression::Expression;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::any::type_name;
use std::io::ErrorKind;

/// Part of the fingerprint: another encoding is another number.
const CODEC_VERSION: &str = if cfg!(feature = "chrono") { "msgpack-2, moments" } else { "msgpack-2" };
/// How deep a cached field may nest.
const MAX_DEPTH: usize = 128;
/// The largest row that is cached; larger ones are read from the database.
pub(crate) const MAX_ROW_BYTES: usize = 8 << 20;

/// A field type that the row cache can store.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot be cached",
    label = "needs serde's `Serialize` and `DeserializeOwned`",
    note = "derive `serde::Serialize` and `serde::Deserialize` on the field's type, or remove `#[cache_fields]`"
)]
pub trait Cacheable: Sized + 'static {
    /// Appends the field.
    ///
    /// # Errors
    /// [`CodecError::Encode`].
    fn encode(&self, out: &mut Encoder) -> Result<(), CodecError>;

    /// Reads the field.
    ///
    /// # Errors
    /// [`CodecError::Decode`].
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError>;
}

// `Uncached` has no `Serialize`, and an impl of its own.
impl<T: Serialize + DeserializeOwned + 'static> Cacheable for T {
    #[inline]
    fn encode(&self, out: &mut Encoder) -> Result<(), CodecError> {
        out.append(self)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        input.next()
    }
}

/// Why a cached row could not be written or read; a row that cannot be read is a miss.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The field's own `Serialize` failed.
    #[error("encode: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The bytes do not fit the field.
    #[error("decode: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// Bytes are left after the last field.
    #[error("bytes are left after the last field")]
    Trailing,
    /// The row is larger than what is cached.
    #[error("the row is larger than {MAX_ROW_BYTES} bytes")]
    TooLarge,
}

/// Collects the fields of a row.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Appends a field.
    ///
    /// # Errors
    /// [`CodecError::Encode`], and [`CodecError::TooLarge`] once the row exceeds the limit.
    pub fn field<T: Cacheable>(&mut self, value: &T) -> Result<(), CodecError> {
        value.encode(self)?;
        if self.0.len() > MAX_ROW_BYTES { Err(CodecError::TooLarge) } else { Ok(()) }
    }

    fn append<T: Serialize + 'static>(&mut self, value: &T) -> Result<(), CodecError> {
        let mut out = rmp_serde::Serializer::new(&mut self.0).with_struct_map();
        #[cfg(feature = "chrono")]
        if moment::is_moment::<T>() {
            return Ok(moment::of(value).serialize(&mut out)?);
        }
        Ok(value.serialize(&mut out)?)
    }
}

/// Hands out the fields of a row.
#[derive(Debug)]
pub struct Decoder<'i>(rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'i, [u8]>>);

impl<'i> Decoder<'i> {
    fn new(bytes: &'i [u8]) -> Self {
        let mut fields = rmp_serde::Deserializer::from_read_ref(bytes);
        fields.set_max_depth(MAX_DEPTH);
        Self(fields)
    }

    /// The next field.
    ///
    /// # Errors
    /// [`CodecError::Decode`].
    pub fn field<T: Cacheable>(&mut self) -> Result<T, CodecError> {
        T::decode(self)
    }

    #[inline]
    fn next<T: DeserializeOwned + 'static>(&mut self) -> Result<T, CodecError> {
        #[cfg(feature = "chrono")]
        if moment::is_moment::<T>() {
            let moment = Option::<Moment>::deserialize(&mut self.0)?;
            return moment::field(moment).ok_or_else(|| rmp_serde::decode::Error::OutOfRange.into());
        }
        Ok(T::deserialize(&mut self.0)?)
    }

    /// Whether no byte is left.
    // The reader does not tell its place: at the end it finds no next marker.
    fn is_at_end(&mut self) -> bool {
        let next = IgnoredAny::deserialize(&mut self.0);
        matches!(next, Err(rmp_serde::decode::Error::InvalidMarkerRead(error)) if error.kind() == ErrorKind::UnexpectedEof)
    }
}

/// How a model is cached; one static per model that has `#[cache_fields]`.
pub struct CacheSpec<M: SentryModel> {
    /// What the model's keys are named after.
    pub name: &'static str,
    /// How long a row may stay, in milliseconds.
    pub ttl_ms: u64,
    /// By how many percent times to live differ.
    pub jitter_percent: u8,
    /// How long absence is remembered, in milliseconds; 0 for not at all.
    pub negative_ms: u64,
    /// How long a copy may serve in the process that read it, in milliseconds; 0 for not at all.
    pub near_ms: u64,
    /// How far the cache is turned on, unless the builder or an operator says otherwise.
    pub phase: Phase,
    /// The same for what `negative_ms` is about.
    pub negative_phase: Phase,
    /// What becomes of a write that the cache cannot be told of.
    pub outage: OutagePolicy,
    /// The primary key's text, of a row.
    pub text_of: fn(&M) -> String,
    /// The same, of the key.
    pub text: fn(&<M::Pk as KeyCols>::Key) -> String,
    /// The unique lookups.
    pub lookups: &'static [LookupSpec<M>],
    /// Appends every field.
    pub encode: fn(&M, &mut Encoder) -> Result<(), CodecError>,
    /// Reads every field.
    pub decode: fn(&mut Decoder<'_>) -> Result<M, CodecError>,
}

impl<M: SentryModel> CacheSpec<M> {
    pub(crate) fn encoded(&self, row: &M) -> Result<Vec<u8>, CodecError> {
        let mut out = Encoder::default();
        (self.encode)(row, &mut out)?;
        Ok(out.0)
    }

    pub(crate) fn decoded(&self, bytes: &[u8]) -> Result<M, CodecError> {
        // A byte can decode to a value of many, so what no version encodes for its size is not looked at.
        if bytes.len() > MAX_ROW_BYTES {
            return Err(CodecError::TooLarge);
        }
        let mut input = Decoder::new(bytes);
        let row = (self.decode)(&mut input)?;
        if input.is_at_end() { Ok(row) } else { Err(CodecError::Trailing) }
    }
}

impl<M: SentryModel> std::fmt::Debug for CacheSpec<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheSpec").field("ttl_ms", &self.ttl_ms).finish_non_exhaustive()
    }
}

/// One unique lookup of a model.
pub struct LookupSpec<M> {
    /// Bit *i* is set where field *i* belongs to the lookup.
    pub(crate) mask: u64,
    /// Its columns in the database, each with the SQL function of its normal form.
    pub(crate) columns: &'static [&'static str],
    /// The fields' names in its key.
    pub(crate) names: &'static [&'static str],
    pub(crate) functions: &'static [Option<&'static str>],
    pub(crate) text_of: fn(&M) -> String,
    pub(crate) is_null: fn(&M) -> bool,
}

impl<M> LookupSpec<M> {
    /// The lookup by the columns `K`.
    #[must_use]
    pub const fn of<K: KeyTexts<Model = M>>() -> Self {
        Self {
            mask: K::MASK,
            columns: K::COLUMNS,
            names: K::NAMES,
            functions: K::FUNCTIONS,
            text_of: key_text::<K>,
            is_null: key_is_null::<K>,
        }
    }
}

impl<M> std::fmt::Debug for LookupSpec<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookupSpec").field("mask", &self.mask).finish_non_exhaustive()
    }
}

/// What the keys of a model are named after.
pub(crate) fn name_of<M: SentryModel>() -> &'static str {
    M::cache().map_or(M::NAME, |spec| spec.name)
}

/// The text of the key `K` of a row.
pub fn key_text<K: KeyTexts>(row: &<K as KeyCols>::Model) -> String {
    K::text(&K::of(row))
}

fn key_is_null<K: KeyTexts>(row: &<K as KeyCols>::Model) -> bool {
    K::is_null(&K::of(row))
}

/// A 64-bit hash (FNV-1a) of a model's columns, their SQL types and Rust types, and the codec's version.
///
/// It lives in the entry, not in the key: during a rolling deploy old and new binaries must meet each
/// other's write intents.
#[derive(Debug)]
pub struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn new(model: &str) -> Self {
        let mut out = Self(0xcbf2_9ce4_8422_2325);
        out.add(CODEC_VERSION);
        out.add(model);
        out
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0
    }

    fn add(&mut self, text: &str) {
        // The zero byte keeps `ab` + `c` apart from `a` + `bc`.
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Describe for Fingerprint {
    fn field<M: SentryModel, C: FieldOf<M>>(&mut self) {
        self.add(C::NAME);
        self.add(type_name::<<C as Expression>::SqlType>());
        self.add(type_name::<C::Value>());
    }
}
