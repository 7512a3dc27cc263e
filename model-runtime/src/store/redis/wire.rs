//! Commands as RESP, and replies back; the same for both faces.
use super::scripts::{self, Step};
use crate::cache::entry;
use crate::cache::protocol::{Command, Reply};
use crate::store::StoreError;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

/// The batch as one pipeline: one write, one reply per command.
pub(super) fn pipeline(batch: &[Command]) -> Pipeline {
    let mut out = Pipeline::with_capacity(batch.len());
    for command in batch {
        out.add_command(packed(command));
    }
    out
}

fn packed(command: &Command) -> Cmd {
    match command {
        Command::Get { key } => {
            let mut out = redis::cmd("GET");
            out.arg(key);
            out
        }
        Command::Deref { pointer } => script(&scripts::DEREF, pointer),
        Command::Lease { key, token, ttl_ms } => {
            let mut out = redis::cmd("SET");
            out.arg(key).arg(entry::lease(*token)).arg("NX").arg("GET").arg("PX").arg(*ttl_ms);
            out
        }
        Command::Swap { key, expect, new, ttl_ms } => {
            let mut out = script(&scripts::SWAP, key);
            out.arg(expect.as_slice()).arg(new.as_slice()).arg(*ttl_ms);
            out
        }
        Command::Point { pointer, target, ttl_ms } => {
            let mut out = script(&scripts::POINT, pointer);
            out.arg(target).arg(*ttl_ms);
            out
        }
        Command::Unpoint { pointer, target } => {
            let mut out = script(&scripts::UNPOINT, pointer);
            out.arg(target);
            out
        }
        Command::Place { key, token, lifetime_ms } => {
            let mut out = script(&scripts::PLACE, key);
            out.arg(token.as_slice()).arg(*lifetime_ms);
            out
        }
        Command::Release { key, token } => {
            let mut out = script(&scripts::RELEASE, key);
            out.arg(token.as_slice());
            out
        }
    }
}

fn script(step: &Step, key: &str) -> Cmd {
    let mut out = redis::cmd("EVALSHA");
    out.arg(&step.hash).arg(1).arg(key);
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
    /// Anything else.
    Failed(StoreError),
}

/// The values as replies to the batch.
pub(super) fn replies(batch: &[Command], values: Vec<Value>) -> Result<Vec<Reply>, Unusable> {
    let replies = batch.iter().zip(values).map(|(command, value)| reply(command, value));
    replies.collect()
}

fn reply(command: &Command, value: Value) -> Result<Reply, Unusable> {
    if let Value::ServerError(error) = value {
        return Err(refused(&RedisError::from(error)));
    }
    let reply = match command {
        Command::Get { .. } | Command::Lease { .. } => entry(value).map(Reply::Entry),
        Command::Deref { .. } => pair(value),
        _ => match value {
            Value::Int(done) => Some(Reply::Done(done == 1)),
            _ => None,
        },
    };
    reply.ok_or_else(|| {
        Unusable::Failed(StoreError("Redis: a reply of another kind than the command's".into()))
    })
}

fn refused(error: &RedisError) -> Unusable {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Unusable::NoScript,
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

fn pair(value: Value) -> Option<Reply> {
    let Value::Array(values) = value else { return None };
    let [pointer, row] = <[Value; 2]>::try_from(values).ok()?;
    Some(Reply::Pair { pointer: entry(pointer)?, row: entry(row)? })
}
