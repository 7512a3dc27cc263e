//! The bytes of a pickle, and the values that stand in them literally.
use std::borrow::Cow;
use std::fmt::Write as _;

use super::{BROKEN, ENDS_EARLY, NOT_UNICODE, Node, Reason, TOO_BIG_INTEGER, opcode};

/// Converting an integer to decimal takes time quadratic in its length; this is 1024 bits.
const MAX_INTEGER_BYTES: usize = 128;

/// As many decimal digits as [`MAX_INTEGER_BYTES`] can need.
const MAX_INTEGER_DIGITS: usize = 309;

/// What has not been read yet. Nothing is allocated for a length before that many bytes are there.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Reason> {
        self.array().map(u8::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let (array, rest) = self.0.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(*array)
    }

    /// An unsigned integer of `N` bytes, at most eight. A length that Python takes for negative is here
    /// one that no pickle has.
    pub(super) fn unsigned<const N: usize>(&mut self) -> Result<usize, Reason> {
        let bytes = self.array::<N>()?;
        usize::try_from(little_endian(&bytes)).map_err(|_| ENDS_EARLY)
    }

    /// As many bytes as the `N` bytes before them say.
    pub(super) fn sized<const N: usize>(&mut self) -> Result<&'a [u8], Reason> {
        let length = self.unsigned::<N>()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A frame says how much to read at once. All is here already, or should be.
    pub(super) fn frame(&mut self) -> Result<(), Reason> {
        if self.unsigned::<8>()? > self.0.len() { Err(ENDS_EARLY) } else { Ok(()) }
    }

    /// The bytes up to the next line feed, without it.
    fn line(&mut self) -> Result<&'a [u8], Reason> {
        let length = self.0.iter().position(|byte| *byte == b'\n').ok_or(ENDS_EARLY)?;
        let (line, rest) = self.0.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.0 = rest.get(1..).ok_or(ENDS_EARLY)?;
        Ok(line)
    }

    /// A line that Rust reads as Python does.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, Reason> {
        ascii(self.line()?)?.parse().map_err(|_| BROKEN)
    }

    /// The value of an opcode that needs only the bytes after it; `None` where the opcode is another.
    pub(super) fn literal(&mut self, opcode: u8) -> Result<Option<Node<'a>>, Reason> {
        let node = match opcode {
            opcode::NONE => Node::None,
            opcode::NEWTRUE => Node::Bool(true),
            opcode::NEWFALSE => Node::Bool(false),
            opcode::INT => int(self.line()?)?,
            opcode::BININT => Node::Integer(i32::from_le_bytes(self.array()?).into()),
            opcode::BININT1 => Node::Integer(self.unsigned::<1>()?.into()),
            opcode::BININT2 => Node::Integer(self.unsigned::<2>()?.into()),
            opcode::LONG => long(self.line()?)?,
            opcode::LONG1 => binary_long(self.sized::<1>()?)?,
            opcode::LONG4 => binary_long(self.sized::<4>()?)?,
            opcode::FLOAT => Node::Float(self.parsed()?),
            opcode::BINFLOAT => Node::Float(f64::from_be_bytes(self.array()?)),
            opcode::EMPTY_LIST => Node::List(Vec::new()),
            opcode::EMPTY_TUPLE => Node::Tuple(Vec::new()),
            opcode::EMPTY_SET => Node::Set(Vec::new()),
            opcode::EMPTY_DICT => Node::Dict(Vec::new()),
            opcode::STRING => Node::Bytes(unquoted(self.line()?)?),
            opcode::SHORT_BINSTRING | opcode::SHORT_BINBYTES => Node::Bytes(self.sized::<1>()?.into()),
            opcode::BINSTRING | opcode::BINBYTES => Node::Bytes(self.sized::<4>()?.into()),
            opcode::BINBYTES8 | opcode::BYTEARRAY8 => Node::Bytes(self.sized::<8>()?.into()),
            _ => return Ok(self.text(opcode)?.map(Node::Text)),
        };
        Ok(Some(node))
    }

    /// A line of a name.
    pub(super) fn name(&mut self) -> Result<&'a str, Reason> {
        ascii(self.line()?)
    }

    fn text(&mut self, opcode: u8) -> Result<Option<Cow<'a, str>>, Reason> {
        let text = match opcode {
            opcode::UNICODE => Cow::Owned(raw_unicode(self.line()?)?),
            opcode::SHORT_BINUNICODE => unicode(self.sized::<1>()?)?,
            opcode::BINUNICODE => unicode(self.sized::<4>()?)?,
            opcode::BINUNICODE8 => unicode(self.sized::<8>()?)?,
            _ => return Ok(None),
        };
        Ok(Some(text))
    }
}

fn ascii(bytes: &[u8]) -> Result<&str, Reason> {
    str::from_utf8(bytes).map_err(|_| BROKEN)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// A line of protocols 0 and 1, where two of the spellings of an integer are booleans.
fn int(line: &[u8]) -> Result<Node<'_>, Reason> {
    match line {
        b"00" => Ok(Node::Bool(false)),
        b"01" => Ok(Node::Bool(true)),
        _ => decimal(Cow::Borrowed(ascii(line)?)),
    }
}

fn long(line: &[u8]) -> Result<Node<'_>, Reason> {
    decimal(Cow::Borrowed(ascii(line.strip_suffix(b"L").unwrap_or(line))?))
}

/// A number where JSON readers agree on it, else its digits.
fn decimal(text: Cow<'_, str>) -> Result<Node<'_>, Reason> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Node::Integer(number.into()));
    }
    if let Ok(number) = text.parse::<u64>() {
        return Ok(Node::Integer(number.into()));
    }
    let digits = text.strip_prefix('-').unwrap_or(&text);
    match digits.len() {
        0 => Err(BROKEN),
        _ if !digits.bytes().all(|digit| digit.is_ascii_digit()) => Err(BROKEN),
        1..=MAX_INTEGER_DIGITS => Ok(Node::Digits(text)),
        _ => Err(TOO_BIG_INTEGER),
    }
}

/// The integer whose two's complement this is, least byte first.
fn binary_long<'a>(bytes: &[u8]) -> Result<Node<'a>, Reason> {
    if bytes.len() > MAX_INTEGER_BYTES {
        return Err(TOO_BIG_INTEGER);
    }
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let magnitude: Vec<u8> = bytes.iter().map(|byte| if negative { !byte } else { *byte }).collect();
    let mut groups = Vec::new();
    for digits in magnitude.chunks(4).rev() {
        multiply_add(&mut groups, 1 << 32, little_endian(digits));
    }
    multiply_add(&mut groups, 1, negative.into());
    let sign = if negative { "-" } else { "" };
    let mut text = format!("{sign}{}", groups.pop().unwrap_or_default());
    for group in groups.iter().rev() {
        // Writing to a string does not fail.
        let _ = write!(text, "{group:09}");
    }
    decimal(Cow::Owned(text))
}

/// Multiplies a number by at most 2³² and adds at most as much to it. The number is in groups of nine
/// decimal digits, least first, so that nothing here exceeds 64 bits.
fn multiply_add(groups: &mut Vec<u64>, factor: u64, mut carry: u64) {
    const BASE: u64 = 1_000_000_000;
    for group in groups.iter_mut() {
        let product = *group * factor + carry;
        *group = product % BASE;
        carry = product / BASE;
    }
    while carry > 0 {
        groups.push(carry % BASE);
        carry /= BASE;
    }
}

fn unicode(bytes: &[u8]) -> Result<Cow<'_, str>, Reason> {
    str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| NOT_UNICODE)
}

/// Bytes whose encoding nothing tells.
pub(super) fn guessed(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| Cow::Owned(latin_1(bytes)), Cow::Borrowed)
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The `str` whose `repr` in Python 2 this is.
fn unquoted(line: &[u8]) -> Result<Cow<'_, [u8]>, Reason> {
    let ([b'\'', text @ .., b'\''] | [b'"', text @ .., b'"']) = line else { return Err(BROKEN) };
    if !text.contains(&b'\\') {
        return Ok(Cow::Borrowed(text));
    }
    unescaped(text).map(Cow::Owned)
}

/// Undoes the escapes that `repr` makes, and no others.
fn unescaped(mut text: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        let (byte, rest) = match text {
            [] => return Ok(bytes),
            [b'\\', byte @ (b'\\' | b'\'' | b'"'), rest @ ..] => (*byte, rest),
            [b'\\', b'n', rest @ ..] => (b'\n', rest),
            [b'\\', b'r', rest @ ..] => (b'\r', rest),
            [b'\\', b't', rest @ ..] => (b'\t', rest),
            [b'\\', b'x', rest @ ..] => {
                let (code, rest) = hexadecimal::<2>(rest)?;
                (u8::try_from(code).map_err(|_| BROKEN)?, rest)
            }
            [b'\\', ..] => return Err(BROKEN),
            [byte, rest @ ..] => (*byte, rest),
        };
        bytes.push(byte);
        text = rest;
    }
}

/// Text in Python's encoding `raw-unicode-escape`: Latin-1 where only `\u` and `\U` are escapes. It is
/// gathered as UTF-16, because a character may be written as two surrogates.
fn raw_unicode(mut text: &[u8]) -> Result<String, Reason> {
    let mut units = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return String::from_utf16(&units).map_err(|_| NOT_UNICODE),
            [b'\\', b'u', rest @ ..] => {
                let (code, rest) = hexadecimal::<4>(rest)?;
                push_utf_16(&mut units, code)?;
                rest
            }
            [b'\\', b'U', rest @ ..] => {
                let (code, rest) = hexadecimal::<8>(rest)?;
                push_utf_16(&mut units, code)?;
                rest
            }
            // The character after a backslash is taken with it, so that it begins no escape itself.
            [b'\\', next, rest @ ..] => {
                units.extend([u16::from(b'\\'), u16::from(*next)]);
                rest
            }
            [byte, rest @ ..] => {
                units.push(u16::from(*byte));
                rest
            }
        };
    }
}

fn push_utf_16(units: &mut Vec<u16>, code: u32) -> Result<(), Reason> {
    match u16::try_from(code) {
        Ok(unit) => units.push(unit),
        Err(_) => {
            let character = char::from_u32(code).ok_or(NOT_UNICODE)?;
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    Ok(())
}

/// The number that `N` hexadecimal digits make, and what follows them.
fn hexadecimal<const N: usize>(text: &[u8]) -> Result<(u32, &[u8]), Reason> {
    let (digits, rest) = text.split_at_checked(N).ok_or(BROKEN)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let number = digits.iter().try_fold(0, |number, byte| Some((number << 4) | digit(byte)?));
    Ok((number.ok_or(BROKEN)?, rest))
}
