//! The blocking face: a bounded pool of connections.
use super::server::{self, Standing, Watch};
use super::wire::{self, Calls};
use crate::cache::protocol::Command;
use crate::store::{Answer, StoreError};
use redis::{Client, Connection, Pipeline, RedisError, RedisResult, Value};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many connections are open at once; further callers wait for one, for as long as for an answer.
const MAX_OPEN: usize = 64;

/// Connections, of which some wait for the next batch.
pub(super) struct Pool {
    client: Client,
    links: Mutex<Links>,
    returned: Condvar,
    watch: Arc<Watch>,
    connect_timeout: Duration,
    io_timeout: Duration,
}

#[derive(Default)]
struct Links {
    /// The last used one on top.
    idle: Vec<Link>,
    /// How many callers have one, or make one.
    taken: usize,
    /// How many callers wait: waking nobody would be a system call as well.
    waiting: usize,
}

/// A connection, and the life of the server that its handshake met.
struct Link {
    connection: Connection,
    standing: Standing,
}

/// A caller's right to one connection.
struct Permit<'p>(&'p Pool);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut links = self.0.lock();
        links.taken -= 1;
        if links.waiting > 0 {
            self.0.returned.notify_one();
        }
    }
}

impl Pool {
    pub(super) fn new(
        client: Client,
        watch: Arc<Watch>,
        connect_timeout: Duration,
        io_timeout: Duration,
    ) -> Self {
        let (links, returned) = (Mutex::default(), Condvar::new());
        Self { client, links, returned, watch, connect_timeout, io_timeout }
    }

    /// Sends the batch on an idle connection, or on a new one. A connection that broke while it was idle is
    /// replaced once: every command may be carried out twice.
    pub(super) fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let (_permit, idle) = self.take()?;
        if let Some(link) = idle {
            match self.answer(link, batch) {
                Err(Broken::Dropped(_)) => self.lock().idle.clear(),
                other => return other.map_err(Broken::into_store_error),
            }
        }
        let link = self.link()?;
        self.answer(link, batch).map_err(Broken::into_store_error)
    }

    /// Connects, and keeps the connection for the first batch.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let (_permit, _) = self.take()?;
        let link = self.link()?;
        self.keep(link);
        Ok(())
    }

    /// The right to a connection, and an idle one if there is any.
    fn take(&self) -> Result<(Permit<'_>, Option<Link>), StoreError> {
        let mut links = self.lock();
        if links.taken >= MAX_OPEN {
            links.waiting += 1;
            let busy = |links: &mut Links| links.taken >= MAX_OPEN;
            let waited = self.returned.wait_timeout_while(links, self.io_timeout, busy);
            links = waited.unwrap_or_else(PoisonError::into_inner).0;
            links.waiting -= 1;
            if links.taken >= MAX_OPEN {
                return Err(StoreError(format!("all {MAX_OPEN} connections are busy")));
            }
        }
        links.taken += 1;
        let idle = links.idle.pop();
        Ok((Permit(self), idle))
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
        let standing = link.standing;
        self.keep(link);
        match replies {
            Ok(replies) => Ok(standing.answer(replies)),
            Err(wire::Unusable::Failed(error)) => Err(Broken::Failed(error)),
            Err(wire::Unusable::NoScript) => {
                Err(Broken::Failed(StoreError("Redis forgets its scripts".into())))
            }
        }
    }

    fn link(&self) -> Result<Link, StoreError> {
        let connect = || -> RedisResult<_> {
            let mut connection = self.client.get_connection_with_timeout(self.connect_timeout)?;
            connection.set_read_timeout(Some(self.io_timeout))?;
            connection.set_write_timeout(Some(self.io_timeout))?;
            let questions = server::handshake();
            let answers = send(&mut connection, &questions, questions.len())?;
            Ok((connection, answers))
        };
        let (connection, answers) = connect().map_err(|error| StoreError(error.to_string()))?;
        let standing = self.watch.stand(&server::greeting(answers)?, Instant::now());
        Ok(Link { connection, standing })
    }

    fn keep(&self, link: Link) {
        self.lock().idle.push(link);
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn send(&mut self, pipeline: &Pipeline, replies: usize) -> RedisResult<Vec<Value>> {
        send(&mut self.connection, pipeline, replies)
    }
}

/// One write, then the replies one by one, so that the first time-out ends the wait.
fn send(connection: &mut Connection, pipeline: &Pipeline, replies: usize) -> RedisResult<Vec<Value>> {
    connection.send_packed_command(&pipeline.get_packed_pipeline())?;
    (0..replies).map(|_| connection.recv_response()).collect()
}

/// Why a batch was not answered.
enum Broken {
    /// The connection had been closed, or a signal interrupted the call.
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
        // Of all that breaks a connection a time-out alone must not be paid twice. A signal ends a wait that has one,
        // whatever its handler asked for, and tells nothing about the server.
        match error.is_io_error() && !error.is_timeout() {
            true => Self::Dropped(error),
            false => Self::Failed(StoreError(error.to_string())),
        }
    }
}
