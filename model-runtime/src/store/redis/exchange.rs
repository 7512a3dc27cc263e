//! One batch on one connection: what goes out, and what the values that come back are worth.
use super::server::{self, Standing};
use super::wire::{Calls, Unusable};
use crate::cache::protocol::Command;
use crate::store::{Answer, StoreError};
use redis::{Pipeline, RedisError, Value};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the answers of a connection are believed until it asks again what the server is.
const RECHECK: Duration = Duration::from_millis(500);

/// The server at the other end of a connection.
///
/// One that is made a replica goes on answering reads on the connections that are open. So the answers of a connection
/// are believed for as long as [`RECHECK`] after it has asked what the server is; then the next batch asks again, behind
/// its commands. No round trip is spent on that, and no lookup that began [`RECHECK`] after the change is answered by it.
#[derive(Debug)]
pub(super) struct Peer {
    standing: Standing,
    greeted: Instant,
    /// When it was last asked, in milliseconds since it was greeted.
    asked_ms: AtomicU64,
}

impl Peer {
    /// One that was greeted no earlier than that.
    pub(super) fn new(standing: Standing, greeted: Instant) -> Self {
        Self { standing, greeted, asked_ms: AtomicU64::new(0) }
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What is to be sent now.
    pub(super) fn exchange<'b>(&self, batch: &'b [Command], now: Instant) -> Exchange<'b> {
        let (mut calls, sent_ms) = (Calls::of(batch), self.ms(now));
        let age = sent_ms.saturating_sub(self.asked_ms.load(Ordering::Relaxed));
        let asks = (u128::from(age) >= RECHECK.as_millis()).then_some(sent_ms);
        if asks.is_some() {
            server::recheck(&mut calls.pipeline);
        }
        Exchange { batch, calls, asks }
    }

    /// What came back.
    pub(super) fn answer(&self, sent: &Exchange<'_>, mut values: Vec<Value>) -> Result<Answer, Unusable> {
        if let Some(sent_ms) = sent.asks {
            if !self.standing.holds(values.pop().as_ref()) {
                return Err(Unusable::Demoted);
            }
            self.asked_ms.fetch_max(sent_ms, Ordering::Relaxed);
        }
        Ok(self.standing.answer(sent.calls.replies(sent.batch, values)?))
    }

    fn ms(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.greeted).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A batch as it is sent.
pub(super) struct Exchange<'b> {
    batch: &'b [Command],
    calls: Calls,
    /// Whether it asks what the server is, and when it was sent.
    asks: Option<u64>,
}

impl Exchange<'_> {
    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.calls.pipeline
    }
}

/// Why a batch was not answered.
pub(super) enum Broken {
    /// The connection had been closed, or a signal interrupted the call.
    Dropped(RedisError),
    /// No answer came in time: whoever is at the other end may wake up as a primary that was replaced.
    TimedOut(RedisError),
    /// The server is no primary any more, or another one.
    Demoted,
    /// What came back is no reply, or none to what was sent: the connection is of no use.
    Garbled(StoreError),
    /// The connection is as good as before.
    Failed(StoreError),
}

impl Broken {
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Dropped(error) | Self::TimedOut(error) => StoreError(error.to_string()),
            Self::Demoted => StoreError("the server is no primary any more; connect to its primary".into()),
            Self::Garbled(error) | Self::Failed(error) => error,
        }
    }
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        // Of all that breaks a connection a time-out alone must not be paid twice. A signal ends a wait that has one,
        // whatever its handler asked for, and tells nothing about the server.
        match (error.is_io_error(), error.is_timeout()) {
            (true, true) => Self::TimedOut(error),
            (true, false) => Self::Dropped(error),
            (false, _) => Self::Garbled(StoreError(error.to_string())),
        }
    }
}

impl From<Unusable> for Broken {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::NoScript => Self::Failed(StoreError("Redis forgets its scripts".into())),
            Unusable::Demoted => Self::Demoted,
            Unusable::Garbled => {
                Self::Garbled(StoreError("Redis: a reply of another kind than the command's".into()))
            }
            Unusable::Failed(error) => Self::Failed(error),
        }
    }
}
