//! The blocking face: a small pool of connections.
use super::server;
use super::wire::{self, Calls};
use crate::cache::entry::Epoch;
use crate::cache::protocol::Command;
use crate::store::{Answer, StoreError};
use redis::{Client, Connection, Pipeline, RedisError, RedisResult, Value};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many connections are kept while nobody uses them.
const MAX_IDLE: usize = 64;

/// Connections that wait for the next batch, the last used one on top.
pub(super) struct Pool {
    client: Client,
    idle: Mutex<Vec<Link>>,
    connect_timeout: Duration,
    io_timeout: Duration,
}

/// A connection, and the life of the server that its handshake met.
struct Link {
    connection: Connection,
    epoch: Epoch,
}

impl Pool {
    pub(super) fn new(client: Client, connect_timeout: Duration, io_timeout: Duration) -> Self {
        Self { client, idle: Mutex::default(), connect_timeout, io_timeout }
    }

    /// Sends the batch on an idle connection, or on a new one. A connection that broke while it was idle is
    /// replaced once: every command may be carried out twice.
    pub(super) fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let idle = self.lock().pop();
        if let Some(link) = idle {
            match self.answer(link, batch) {
                Err(Broken::Dropped(_)) => self.lock().clear(),
                other => return other.map_err(Broken::into_store_error),
            }
        }
        let link = self.link()?;
        self.answer(link, batch).map_err(Broken::into_store_error)
    }

    /// Connects, and keeps the connection for the first batch.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let link = self.link()?;
        self.keep(link);
        Ok(())
    }

    // Whatever goes wrong on the way drops the connection: a late reply must not answer the next batch.
    fn answer(&self, mut link: Link, batch: &[Command]) -> Result<Answer, Broken> {
        let calls = Calls::of(batch);
        let mut replies = calls.replies(batch, link.send(&calls.pipeline, calls.len())?);
        if matches!(replies, Err(wire::Unusable::NoScript)) {
            let mut scripts = Pipeline::new();
            wire::load_scripts(&mut scripts);
            link.send(&scripts, scripts.len())?;
            replies = calls.replies(batch, link.send(&calls.pipeline, calls.len())?);
        }
        let epoch = link.epoch;
        self.keep(link);
        match replies {
            Ok(replies) => Ok(Answer { epoch, replies }),
            Err(wire::Unusable::Failed(error)) => Err(Broken::Failed(error)),
            Err(wire::Unusable::NoScript) => {
                Err(Broken::Failed(StoreError("Redis forgets its scripts".into())))
            }
        }
    }

    fn link(&self) -> Result<Link, StoreError> {
        let connect = || -> RedisResult<Link> {
            let connection = self.client.get_connection_with_timeout(self.connect_timeout)?;
            connection.set_read_timeout(Some(self.io_timeout))?;
            connection.set_write_timeout(Some(self.io_timeout))?;
            Ok(Link { connection, epoch: Epoch(0) })
        };
        let mut link = connect().map_err(|error| StoreError(error.to_string()))?;
        let questions = server::handshake();
        let answers =
            link.send(&questions, questions.len()).map_err(|error| StoreError(error.to_string()))?;
        link.epoch = server::epoch(answers)?;
        Ok(link)
    }

    fn keep(&self, link: Link) {
        let mut idle = self.lock();
        if idle.len() < MAX_IDLE {
            idle.push(link);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// One write, then the replies one by one, so that the first time-out ends the wait.
    fn send(&mut self, pipeline: &Pipeline, replies: usize) -> RedisResult<Vec<Value>> {
        self.connection.send_packed_command(&pipeline.get_packed_pipeline())?;
        (0..replies).map(|_| self.connection.recv_response()).collect()
    }
}

/// Why a batch was not answered.
enum Broken {
    /// The connection had been closed.
    Dropped(RedisError),
    Failed(StoreError),
}

impl Broken {
    fn into_store_error(self) -> StoreError {
        match self {
            Self::Dropped(error) => StoreError(error.to_string()),
            Self::Failed(error) => error,
        }
    }
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        match error.is_connection_dropped() {
            true => Self::Dropped(error),
            false => Self::Failed(StoreError(error.to_string())),
        }
    }
}
