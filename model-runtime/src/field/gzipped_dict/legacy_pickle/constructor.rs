//! What pickles of data import: a few constructors of Python's standard library. None is run; what each would make is
//! read from its arguments.
use super::{BROKEN, Node, RUNS_CODE, Reason, TOO_BIG_INTEGER};

/// The longest text of a `Decimal`; each call looks through it.
const MAX_DECIMAL: usize = 1000;

/// A name that may be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Constructor {
    OrderedDict,
    DefaultDict,
    DateTime,
    Date,
    Timezone,
    Timedelta,
    Decimal,
    Uuid,
    Set,
    FrozenSet,
    /// With no argument: the empty bytes of protocols 0 to 2.
    Bytes,
    /// How Python 3 writes bytes in protocols 0 to 2.
    Encode,
    /// How protocols 0 and 1 make an object of a class.
    Reconstructor,
    /// What makes the values that a `defaultdict` lacks, and the base of all classes: never called.
    Type,
}

impl Constructor {
    /// The one of this name, in Python 2 or 3.
    pub(super) fn named(module: &str, name: &str) -> Result<Self, Reason> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("collections", "defaultdict") => Self::DefaultDict,
            ("datetime", "datetime") => Self::DateTime,
            ("datetime", "date") => Self::Date,
            ("datetime", "timezone") => Self::Timezone,
            ("datetime", "timedelta") => Self::Timedelta,
            ("decimal", "Decimal") => Self::Decimal,
            ("uuid", "UUID") => Self::Uuid,
            ("_codecs", "encode") => Self::Encode,
            ("copy_reg" | "copyreg", "_reconstructor") => Self::Reconstructor,
            ("__builtin__" | "builtins", "set") => Self::Set,
            ("__builtin__" | "builtins", "frozenset") => Self::FrozenSet,
            ("__builtin__" | "builtins", "bytes") => Self::Bytes,
            (
                "__builtin__" | "builtins",
                "object" | "list" | "dict" | "tuple" | "int" | "long" | "float" | "bool" | "str" | "unicode",
            ) => Self::Type,
            _ => return Err(RUNS_CODE),
        })
    }
}

/// What a call gives.
pub(super) enum Made<'a> {
    New(Node<'a>),
    /// One of the arguments, which need not be copied.
    Same(usize),
    /// Of the items of this list.
    Set(usize),
    FrozenSet(usize),
    /// Of the pairs in this list.
    Dict(usize),
}

/// What `constructor(*args)` would make.
pub(super) fn call<'a>(
    nodes: &[Node<'a>],
    constructor: Constructor,
    args: &[usize],
) -> Result<Made<'a>, Reason> {
    let node = |index: usize| nodes.get(index).ok_or(BROKEN);
    match (constructor, args) {
        (Constructor::Decimal, [text]) => decimal(node(*text)?).map(|()| Made::Same(*text)),
        (Constructor::Bytes, []) => Ok(Made::New(Node::Bytes((&[]).into()))),
        (Constructor::Encode, [text, codec]) => match (node(*text)?, node(*codec)?) {
            (Node::Text(_), Node::Text(codec)) if codec == "latin1" => Ok(Made::New(Node::Latin1(*text))),
            _ => Err(RUNS_CODE),
        },
        (Constructor::Reconstructor, [class, base, state]) => {
            match (node(*class)?, node(*base)?, node(*state)?) {
                (Node::Constructor(Constructor::Uuid), Node::Constructor(Constructor::Type), Node::None) => {
                    Ok(Made::New(Node::Uuid(None)))
                }
                _ => Err(RUNS_CODE),
            }
        }
        (Constructor::DateTime | Constructor::Date | Constructor::Timezone | Constructor::Timedelta, _) => {
            time(nodes, constructor, args).map(Made::New)
        }
        _ => container(nodes, constructor, args),
    }
}

fn container<'a>(nodes: &[Node<'a>], constructor: Constructor, args: &[usize]) -> Result<Made<'a>, Reason> {
    Ok(match (constructor, args) {
        (Constructor::OrderedDict | Constructor::DefaultDict, []) => Made::New(Node::Dict(Vec::new())),
        (Constructor::OrderedDict, [items]) => Made::Dict(*items),
        // What makes the values that it lacks is of no interest.
        (Constructor::DefaultDict, [factory]) => match nodes.get(*factory) {
            Some(Node::None | Node::Constructor(_)) => Made::New(Node::Dict(Vec::new())),
            _ => return Err(RUNS_CODE),
        },
        (Constructor::Set, []) => Made::New(Node::Set(Vec::new())),
        (Constructor::Set, [items]) => Made::Set(*items),
        (Constructor::FrozenSet, []) => Made::New(Node::Tuple(Vec::new())),
        (Constructor::FrozenSet, [items]) => Made::FrozenSet(*items),
        _ => return Err(RUNS_CODE),
    })
}

fn time<'a>(nodes: &[Node<'a>], constructor: Constructor, args: &[usize]) -> Result<Node<'a>, Reason> {
    let node = |index: usize| nodes.get(index).ok_or(BROKEN);
    match (constructor, args) {
        (Constructor::Date, [state]) => date(state_of(nodes, *state)?).map(|text| Node::Text(text.into())),
        (Constructor::DateTime, [state]) => {
            date_time(state_of(nodes, *state)?).map(|text| Node::Text(text.into()))
        }
        (Constructor::DateTime, [state, zone]) => {
            let Node::Zone(seconds) = node(*zone)? else { return Err(RUNS_CODE) };
            let text = date_time(state_of(nodes, *state)?)? + &offset(*seconds);
            Ok(Node::Text(text.into()))
        }
        (Constructor::Timedelta, [days, seconds, microseconds]) => {
            span([node(*days)?, node(*seconds)?, node(*microseconds)?]).map(Node::Span)
        }
        (Constructor::Timezone, [span] | [span, _]) => match node(*span)? {
            Node::Span(seconds) if seconds.unsigned_abs() < 86_400 => Ok(Node::Zone(*seconds)),
            _ => Err(BROKEN),
        },
        _ => Err(RUNS_CODE),
    }
}

/// The bytes of an object's state, each of which stands for a part of it.
fn state_of<const N: usize>(nodes: &[Node<'_>], index: usize) -> Result<[u8; N], Reason> {
    let bytes = match nodes.get(index).ok_or(BROKEN)? {
        Node::Bytes(bytes) => return bytes.as_ref().try_into().map_err(|_| BROKEN),
        Node::Latin1(text) => nodes.get(*text).ok_or(BROKEN)?,
        text => text,
    };
    let Node::Text(text) = bytes else { return Err(BROKEN) };
    let (mut state, mut letters) = ([0; N], text.chars());
    for byte in &mut state {
        *byte = letters.next().and_then(|letter| u8::try_from(letter).ok()).ok_or(BROKEN)?;
    }
    if letters.next().is_none() { Ok(state) } else { Err(BROKEN) }
}

/// As `isoformat` writes it.
fn date([high, low, month, day]: [u8; 4]) -> Result<String, Reason> {
    let year = u16::from_be_bytes([high, low]);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(is_leap),
        1..=12 => 31,
        _ => return Err(BROKEN),
    };
    match (1..=9999).contains(&year) && (1..=days).contains(&day) {
        true => Ok(format!("{year:04}-{month:02}-{day:02}")),
        false => Err(BROKEN),
    }
}

fn date_time(state: [u8; 10]) -> Result<String, Reason> {
    let [high, low, month, day, hour, minute, second, fraction @ ..] = state;
    let microsecond = fraction.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    if hour > 23 || minute > 59 || second > 59 || microsecond > 999_999 {
        return Err(BROKEN);
    }
    // The first bit of the month says which of two equal times of a day it is, when clocks are put back.
    let date = date([high, low, month & 0x7f, day])?;
    let time = format!("{date}T{hour:02}:{minute:02}:{second:02}");
    Ok(if microsecond > 0 { format!("{time}.{microsecond:06}") } else { time })
}

/// `+05:30`, or with the seconds where there are any.
fn offset(seconds: i32) -> String {
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// In seconds; shorter ones are no time zone's.
fn span(parts: [&Node<'_>; 3]) -> Result<i32, Reason> {
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(parts) {
        let Node::Integer(part) = part else { return Err(BROKEN) };
        *number = part.as_i64().ok_or(BROKEN)?;
    }
    let [days, seconds, microseconds] = numbers;
    let sum = days.checked_mul(86_400).and_then(|days| days.checked_add(seconds));
    match microseconds {
        0 => sum.and_then(|sum| i32::try_from(sum).ok()).ok_or(BROKEN),
        _ => Err(RUNS_CODE),
    }
}

/// Whether a node is the text of a `Decimal`, as `str` writes it.
fn decimal(node: &Node<'_>) -> Result<(), Reason> {
    let text = match node {
        Node::Text(text) => text.as_bytes(),
        Node::Bytes(bytes) => bytes,
        _ => return Err(BROKEN),
    };
    if text.len() > MAX_DECIMAL {
        return Err(TOO_BIG_INTEGER);
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let all_digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    if text == b"Infinity"
        || text.strip_prefix(b"s").unwrap_or(text).strip_prefix(b"NaN").is_some_and(all_digits)
    {
        return Ok(());
    }
    let mut parts = text.splitn(2, |byte| *byte == b'E');
    let mut digits = parts.next().unwrap_or_default().splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (digits.next().unwrap_or_default(), digits.next().unwrap_or_default());
    let exponent = parts.next().map(|exponent| exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")));
    let is_exponent = match exponent {
        None => true,
        Some(exponent) => exponent.is_some_and(|digits| !digits.is_empty() && all_digits(digits)),
    };
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    if has_digits && all_digits(whole) && all_digits(fraction) && is_exponent { Ok(()) } else { Err(BROKEN) }
}

/// The number of a `UUID`, from the state that its object is given.
pub(super) fn uuid(nodes: &[Node<'_>], state: usize) -> Result<[u8; 16], Reason> {
    let Some(Node::Dict(pairs)) = nodes.get(state) else { return Err(RUNS_CODE) };
    // And whether it was made safely, which is of no interest.
    if pairs.len() > 2 {
        return Err(BROKEN);
    }
    let is_named = |key: &usize| match nodes.get(*key) {
        Some(Node::Text(name)) => name == "int",
        Some(Node::Bytes(name)) => name.as_ref() == b"int",
        _ => false,
    };
    let (_, number) = pairs.iter().find(|(key, _)| is_named(key)).ok_or(BROKEN)?;
    let number = match nodes.get(*number) {
        Some(Node::Integer(number)) => number.as_u64().map(u128::from),
        Some(Node::Digits(digits)) => digits.parse().ok(),
        _ => None,
    };
    number.map(u128::to_be_bytes).ok_or(BROKEN)
}

/// As `str` writes it.
pub(super) fn uuid_text(bytes: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let places = [0..8, 8..12, 12..16, 16..20, 20..32];
    places.map(|place| digits.get(place).unwrap_or_default().to_owned()).join("-")
}
