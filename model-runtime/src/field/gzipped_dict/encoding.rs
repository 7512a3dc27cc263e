//! Bytes, text and value: how a dict is stored, how it travels in the cache, and the limits on both.
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::error::Category;

#[cfg(feature = "legacy-pickle")]
use super::legacy_pickle;
use super::{GzippedDict, Raw};

pub(super) const MAX_DECOMPRESSED: usize = 16 << 20;

/// Incompressible JSON grows by less than 1 % in zlib, by a third in base64 and by 3 % in wrapped lines,
/// so nothing that is this long can hold a dict within the limit.
const MAX_STORED: usize = 2 * MAX_DECOMPRESSED;

/// `serde_json` reads values nested up to here, and refuses one level more.
const MAX_DEPTH: usize = 127;

/// What a gzipped dict refuses to read or to write, as opposed to what it merely cannot decode.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GzippedDictError {
    #[error(
        "gzipped dict is larger than {MAX_DECOMPRESSED} bytes decompressed, the most that is read or written; \
         split it, or keep the data elsewhere and a reference here"
    )]
    TooLarge,
    #[error(
        "gzipped dict is stored in {0} bytes, more than the {MAX_STORED} that are read; \
         read the column as plain text or bytes to repair it"
    )]
    StoredTooLarge(usize),
    #[error("gzipped dict is nested deeper than the {MAX_DEPTH} levels that can be read back; flatten it")]
    TooDeep,
    #[error("gzipped dict cannot be written as json: {0}; use a type that `serde_json` can write")]
    Json(#[from] serde_json::Error),
    #[error("gzipped dict cannot be compressed: {0}; try again with more memory")]
    Compress(#[from] std::io::Error),
}

/// Why a stored form gave no value.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is kept as it is; the reason quotes none of it.
    Undecodable(&'static str),
    /// It is too large to be looked at.
    Refused(GzippedDictError),
}

pub(super) fn decode_text<T: DeserializeOwned + Default>(text: &str) -> Result<T, Fault> {
    check_stored(text.len())?;
    let bytes = decode_base64(text).map_err(|_| Fault::Undecodable("not base64"))?;
    decode_bytes(&bytes)
}

/// White space is skipped: MIME and the SQL function `encode(…, 'base64')` wrap their lines.
pub(super) fn decode_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let mut base64 = text.as_bytes().to_vec();
    base64.retain(|byte| !byte.is_ascii_whitespace());
    STANDARD.decode(base64)
}

pub(super) fn decode_bytes<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Fault> {
    check_stored(bytes.len())?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    let plain = decompress(bytes)?;
    #[cfg(feature = "legacy-pickle")]
    if legacy_pickle::is_pickle(&plain) {
        let value = legacy_pickle::read(&plain).map_err(Fault::Undecodable)?;
        return serde_json::from_value(value).map_err(|_| Fault::Undecodable("a pickle of another shape"));
    }
    serde_json::from_slice(&plain).map_err(|error| {
        Fault::Undecodable(match error.classify() {
            Category::Eof => "json that ends too early",
            Category::Data => "json of another shape",
            Category::Syntax | Category::Io => "not json",
        })
    })
}

fn check_stored(length: usize) -> Result<(), Fault> {
    if length > MAX_STORED { Err(Fault::Refused(GzippedDictError::StoredTooLarge(length))) } else { Ok(()) }
}

/// A few kilobytes can inflate to gigabytes, so it stops one byte after the limit.
fn decompress(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut json = Vec::new();
    ZlibDecoder::new(bytes)
        .take(MAX_DECOMPRESSED as u64 + 1)
        .read_to_end(&mut json)
        .map_err(|_| Fault::Undecodable("not zlib"))?;
    if json.len() > MAX_DECOMPRESSED {
        return Err(Fault::Refused(GzippedDictError::TooLarge));
    }
    Ok(json)
}

pub(super) fn compress<T: Serialize>(value: &T) -> Result<Vec<u8>, GzippedDictError> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(to_json(value)?.as_bytes())?;
    Ok(zlib.finish()?)
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// JSON that [`decode_bytes`] will accept.
fn to_json<T: Serialize>(value: &T) -> Result<String, GzippedDictError> {
    let json = serde_json::to_string(value)?;
    if json.len() > MAX_DECOMPRESSED {
        return Err(GzippedDictError::TooLarge);
    }
    if depth(&json) > MAX_DEPTH {
        return Err(GzippedDictError::TooDeep);
    }
    Ok(json)
}

/// The number of objects and arrays around the innermost value of valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The cache's form is a tag and a text; these are the tags.
const VALUE: u8 = 0;
const RAW_TEXT: u8 = 1;
const RAW_BYTES: u8 = 2;

impl<T: Serialize> Serialize for GzippedDict<T> {
    /// In a human-readable format the value; else, as in the cache, a form that loses nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.raw {
            _ if serializer.is_human_readable() => self.value.serialize(serializer),
            None => (VALUE, to_json(&self.value).map_err(S::Error::custom)?).serialize(serializer),
            Some(Raw::Text(text)) => (RAW_TEXT, text).serialize(serializer),
            Some(Raw::Bytes(bytes)) => (RAW_BYTES, to_base64(bytes)).serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned + Default> Deserialize<'de> for GzippedDict<T> {
    /// Undecodable input is decoded once more: a program that knows more formats may share the cache.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return T::deserialize(deserializer).map(Self::from);
        }
        let (tag, text) = <(u8, String)>::deserialize(deserializer)?;
        match tag {
            VALUE if text.len() > MAX_DECOMPRESSED => Err(D::Error::custom(GzippedDictError::TooLarge)),
            VALUE => serde_json::from_str::<T>(&text).map(Self::from).map_err(D::Error::custom),
            RAW_TEXT => Self::from_text(text).map_err(D::Error::custom),
            RAW_BYTES => {
                let bytes = decode_base64(&text).map_err(D::Error::custom)?;
                Self::from_bytes(bytes).map_err(D::Error::custom)
            }
            unknown => Err(D::Error::custom(format_args!("gzipped dict of an unknown form {unknown}"))),
        }
    }
}
