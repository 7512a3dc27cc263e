//! Dicts that the origin stored as Python pickles, protocols 0 to 5: data is read, code is refused.
//!
//! A pickle is a program for a stack machine, and some of its opcodes import and call whatever they name.
//! Here they name constructors of a short list, which are not called but read ([`constructor`]), or end the reading; what
//! remains can only make `None`, booleans, numbers, text and containers.
mod constructor;
mod input;
mod machine;
mod opcode;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;

use serde_json::{Number, Value};

use self::constructor::Constructor;

/// Why a pickle gave no value; it quotes none of it.
type Reason = &'static str;

const ENDS_EARLY: Reason = "a pickle that ends too early";
const BROKEN: Reason = "a broken pickle";
const UNKNOWN: Reason = "a pickle of an unknown kind";
const RUNS_CODE: Reason = "a pickle that would run code";
const NOT_UNICODE: Reason = "a pickle of text that is not unicode";
const COMPOUND_KEY: Reason = "a pickle of a dict with a container as a key";
const TOO_DEEP: Reason = "a pickle nested too deep, or in itself";
const TOO_MANY: Reason = "a pickle of too many values";
const TOO_MUCH_TEXT: Reason = "a pickle of too much text";
const TOO_BIG_INTEGER: Reason = "a pickle of too big an integer";

/// The most values that a pickle may push or give. A few bytes that repeat a remembered value can give
/// exponentially many, so the length of the pickle bounds nothing.
const MAX_VALUES: usize = 1_000_000;

/// The most bytes of text that a pickle may give, counted as often as a value is repeated.
const MAX_TEXT: usize = 16 << 20;

/// The most containers around a value: `serde_json` would not read one more back.
const MAX_DEPTH: usize = 127;

/// A value while the pickle is read. Containers hold indices of nodes rather than nodes, because Python
/// remembers a container before it fills it, and may put it in several places.
#[derive(Debug)]
enum Node<'a> {
    None,
    Bool(bool),
    Integer(Number),
    Float(f64),
    /// An integer beyond 64 bits.
    Digits(Cow<'a, str>),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// The bytes of which each is a letter of this text.
    Latin1(usize),
    /// Its number, once it is known.
    Uuid(Option<[u8; 16]>),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Set(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    /// No value: what makes one.
    Constructor(Constructor),
    /// No value: a part of a time zone, in seconds.
    Span(i32),
    /// No value: a part of a time, in seconds east of UTC.
    Zone(i32),
}

/// Whether the bytes are to be read as a pickle. No JSON text is: no opcode that can come first is a byte
/// that JSON can begin with. Older protocols begin with a letter or a bracket, and so does much that is no
/// pickle, so they must have the end of one too.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    match bytes {
        [opcode::PROTO, ..] => true,
        [first, .., opcode::STOP] => opcode::FIRST.contains(first),
        _ => false,
    }
}

/// The value of a pickle, or why there is none.
///
/// Tuples and sets become arrays, and keys of dicts become text as Python's `str` writes them. Bytes and
/// the `str` of Python 2 are taken for UTF-8 or else Latin-1. An integer beyond 64 bits becomes its
/// digits as text, and a float that is not finite becomes null. A `datetime` or `date` becomes the text of
/// its `isoformat`, a `Decimal` or `UUID` that of its `str`, an `OrderedDict` or `defaultdict` an object.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Reason> {
    let (nodes, root) = machine::run(bytes)?;
    value::build(&nodes, root)
}
