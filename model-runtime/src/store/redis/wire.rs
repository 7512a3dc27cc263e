//! Commands as RESP, and replies back; the same for both faces.
use super::scripts::{self, Step};
use crate::cache::entry;
use crate::cache::protocol::{Command, Reply};
use crate::store::StoreError;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

/// How many keys one call touches at most: Redis does nothing else meanwhile.
const CHUNK: usize = 256;
/// How many keys of the server one page looks at, of ours or not.
const SCANNED: usize = 1000;

/// A batch as calls to the server, of which some carry out several commands.
pub(super) struct Calls {
    /// One write, one reply per call.
    pub(super) pipeline: Pipeline,
    /// How many commands each call carries out.
    spans: Vec<usize>,
}

impl Calls {
    /// Commands of one kind in a row, which differ in their keys alone, are one call.
    pub(super) fn of(batch: &[Command]) -> Self {
        let mut out = Self { pipeline: Pipeline::with_capacity(batch.len()), spans: Vec::new() };
        for alike in batch.chunk_by(is_alike).flat_map(|alike| alike.chunks(CHUNK)) {
            if let Some(call) = packed(alike) {
                out.pipeline.add_command(call);
                out.spans.push(alike.len());
            }
        }
        out
    }

    /// The values as replies to the batch.
    pub(super) fn replies(&self, batch: &[Command], values: Vec<Value>) -> Result<Vec<Reply>, Unusable> {
        let (mut rest, mut replies) = (batch, Vec::with_capacity(batch.len()));
        for (span, value) in self.spans.iter().zip(values) {
            let (commands, others) = rest.split_at(*span);
            read(commands, value, &mut replies)?;
            rest = others;
        }
        Ok(replies)
    }
}

/// Whether one call can carry out both.
fn is_alike(left: &Command, right: &Command) -> bool {
    match (left, right) {
        (Command::Get { .. }, Command::Get { .. }) => true,
        (
            Command::Place { token, lifetime_ms, .. },
            Command::Place { token: other, lifetime_ms: other_ms, .. },
        ) => token == other && lifetime_ms == other_ms,
        (Command::Release { token, .. }, Command::Release { token: other, .. }) => token == other,
        _ => false,
    }
}

/// The key of a command that can share a call.
fn shared_key(command: &Command) -> Option<&str> {
    match command {
        Command::Get { key } | Command::Place { key, .. } | Command::Release { key, .. } => Some(key),
        _ => None,
    }
}

/// One call for commands that are alike; `None` without any.
fn packed(alike: &[Command]) -> Option<Cmd> {
    let call = match alike.first()? {
        Command::Get { key } if alike.len() == 1 => {
            let mut out = redis::cmd("GET");
            out.arg(key);
            out
        }
        Command::Get { .. } => {
            let mut out = redis::cmd("MGET");
            for key in alike.iter().filter_map(shared_key) {
                out.arg(key);
            }
            out
        }
        Command::Scan { prefix, cursor } => scan(prefix, *cursor),
        Command::Deref { pointer } => script(&scripts::DEREF, [pointer.as_str()]),
        Command::Lease { key, token, ttl_ms } => {
            let mut out = redis::cmd("SET");
            out.arg(key).arg(entry::lease(*token)).arg("NX").arg("GET").arg("PX").arg(*ttl_ms);
            out
        }
        Command::Swap { key, expect, new, ttl_ms } => {
            let mut out = script(&scripts::SWAP, [key.as_str()]);
            out.arg(expect.as_slice()).arg(new.as_slice()).arg(*ttl_ms);
            out
        }
        Command::Point { pointer, target, ttl_ms } => {
            let mut out = script(&scripts::POINT, [pointer.as_str()]);
            out.arg(target).arg(*ttl_ms);
            out
        }
        Command::Unpoint { pointer, target } => {
            let mut out = script(&scripts::UNPOINT, [pointer.as_str()]);
            out.arg(target);
            out
        }
        Command::Place { token, lifetime_ms, .. } => {
            let mut out = script(&scripts::PLACE, alike.iter().filter_map(shared_key));
            out.arg(token.as_slice()).arg(*lifetime_ms);
            out
        }
        Command::Release { token, .. } => {
            let mut out = script(&scripts::RELEASE, alike.iter().filter_map(shared_key));
            out.arg(token.as_slice());
            out
        }
    };
    Some(call)
}

fn scan(prefix: &str, cursor: u64) -> Cmd {
    let mut out = redis::cmd("SCAN");
    out.arg(cursor).arg("MATCH").arg(format!("{}*", escaped(prefix))).arg("COUNT").arg(SCANNED);
    out
}

/// A text that stands for itself in a pattern of Redis.
fn escaped(text: &str) -> String {
    let special = |c| matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-');
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn script<'k, K: IntoIterator<Item = &'k str>>(step: &Step, keys: K) -> Cmd {
    let keys: Vec<&str> = keys.into_iter().collect();
    let mut out = redis::cmd("EVALSHA");
    out.arg(&step.hash).arg(keys.len()).arg(keys);
    out
}

/// Loads every script.
pub(super) fn load_scripts(out: &mut Pipeline) {
    for step in scripts::all() {
        out.cmd("SCRIPT").arg("LOAD").arg(step.text);
    }
}

/// Why replies are of no use.
#[derive(Debug)]
pub(super) enum Unusable {
    /// The server has forgotten the scripts: load them and send the batch again.
    NoScript,
    /// The server is no primary any more, or another one.
    Demoted,
    /// A reply of another kind than the command's: later ones may be of other commands as well.
    Garbled,
    /// Anything else.
    Failed(StoreError),
}

/// Appends the replies to the commands of one call.
fn read(commands: &[Command], value: Value, replies: &mut Vec<Reply>) -> Result<(), Unusable> {
    if let Value::ServerError(error) = value {
        return Err(refused(&RedisError::from(error)));
    }
    let before = replies.len();
    match (commands, value) {
        ([Command::Get { .. } | Command::Lease { .. }], value) => {
            replies.extend(entry(value).map(Reply::Entry));
        }
        ([Command::Deref { .. }], value) => replies.extend(pair(value)),
        ([Command::Scan { .. }], value) => replies.extend(page(value)),
        ([Command::Get { .. }, ..], Value::Array(values)) => {
            replies.extend(values.into_iter().map_while(|value| entry(value).map(Reply::Entry)));
        }
        ([Command::Place { .. }, ..], Value::Int(1)) => {
            replies.extend(commands.iter().map(|_| Reply::Done(true)));
        }
        ([Command::Release { .. }, ..], Value::Array(places)) => {
            replies.extend(commands.iter().map(|_| Reply::Done(false)));
            mark(&places, &mut replies[before..])?;
        }
        ([_], Value::Int(done)) => replies.push(Reply::Done(done == 1)),
        _ => {}
    }
    match replies.len() - before == commands.len() {
        true => Ok(()),
        false => Err(unexpected()),
    }
}

/// The replies at these places, counted from one, are [`Reply::Done`].
fn mark(places: &[Value], replies: &mut [Reply]) -> Result<(), Unusable> {
    for place in places {
        let Value::Int(place) = place else { return Err(unexpected()) };
        let place = usize::try_from(*place).ok().and_then(|place| place.checked_sub(1));
        *place.and_then(|place| replies.get_mut(place)).ok_or_else(unexpected)? = Reply::Done(true);
    }
    Ok(())
}

fn unexpected() -> Unusable {
    Unusable::Garbled
}

fn refused(error: &RedisError) -> Unusable {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Unusable::NoScript,
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => Unusable::Demoted,
        _ => Unusable::Failed(StoreError(format!("Redis refused: {error}"))),
    }
}

#[allow(clippy::option_option, reason = "no entry, or a reply that is none")]
fn entry(value: Value) -> Option<Option<Vec<u8>>> {
    match value {
        Value::Nil => Some(None),
        Value::BulkString(bytes) => Some(Some(bytes)),
        _ => None,
    }
}

/// Keys that are no text are not ours.
fn page(value: Value) -> Option<Reply> {
    let Value::Array(values) = value else { return None };
    let [cursor, keys] = <[Value; 2]>::try_from(values).ok()?;
    let (Value::BulkString(cursor), Value::Array(keys)) = (cursor, keys) else { return None };
    let next = std::str::from_utf8(&cursor).ok()?.parse().ok()?;
    let text = |key| match key {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    };
    Some(Reply::Page { next, keys: keys.into_iter().filter_map(text).collect() })
}

fn pair(value: Value) -> Option<Reply> {
    let Value::Array(values) = value else { return None };
    let [pointer, row] = <[Value; 2]>::try_from(values).ok()?;
    Some(Reply::Pair { pointer: entry(pointer)?, row: entry(row)? })
}
