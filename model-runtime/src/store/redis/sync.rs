//! The blocking face: a bounded pool of connections.
use super::exchange::{Broken, Peer};
use super::server::{self, Watch};
use super::wire;
use crate::cache::protocol::Command;
use crate::store::{Answer, StoreError};
use redis::{Client, Connection, Pipeline, RedisResult, Value};
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

/// A connection, and the server that its handshake met.
struct Link {
    connection: Connection,
    peer: Peer,
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

    /// Sends the batch on an idle connection, or on a new one. A connection that broke while it was idle, or leads to a
    /// primary that is none any more, is replaced once: every command may be carried out twice.
    pub(super) fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let (_permit, idle) = self.take()?;
        if let Some(link) = idle {
            match self.answer(link, batch) {
                Err(Broken::Dropped(_) | Broken::Demoted) => self.lock().idle.clear(),
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
        while let Some(link) = links.idle.pop() {
            if self.watch.is_trusted(link.peer.standing()) {
                return Ok((Permit(self), Some(link)));
            }
        }
        Ok((Permit(self), None))
    }

    // What breaks a connection drops it: a late reply must not answer the next batch.
    fn answer(&self, mut link: Link, batch: &[Command]) -> Result<Answer, Broken> {
        let answer = link.ask(batch).map_err(Broken::from).and_then(|answer| Ok(answer?));
        match &answer {
            Err(Broken::Dropped(_) | Broken::Garbled(_)) => {}
            // The idle ones lead where this one does.
            Err(Broken::Demoted | Broken::TimedOut(_)) => self.give_up(link.peer.standing().generation()),
            Ok(_) | Err(Broken::Failed(_)) => self.keep(link),
        }
        answer
    }

    fn link(&self) -> Result<Link, StoreError> {
        let generation = self.watch.generation();
        self.greet(generation).map_err(|broken| {
            if matches!(broken, Broken::TimedOut(_)) {
                self.give_up(generation);
            }
            broken.into_store_error()
        })
    }

    fn greet(&self, generation: u64) -> Result<Link, Broken> {
        let mut connection = self.client.get_connection_with_timeout(self.connect_timeout)?;
        connection.set_read_timeout(Some(self.io_timeout))?;
        connection.set_write_timeout(Some(self.io_timeout))?;
        let greeted = Instant::now();
        let answers = send(&mut connection, &server::handshake())?;
        let greeting = server::greeting(answers).map_err(Broken::Failed)?;
        let mut standing = self.watch.stand(&greeting, generation, Instant::now());
        if let Some(question) = self.watch.ask_age(&standing, &greeting) {
            let known_for = server::known_for(&send(&mut connection, &question)?);
            standing = self.watch.stand_known(standing, known_for, Instant::now());
        }
        Ok(Link { connection, peer: Peer::new(standing, greeted) })
    }

    /// Gives up the connections of this generation, the idle ones at once.
    fn give_up(&self, generation: u64) {
        self.watch.distrust(generation);
        self.lock().idle.retain(|link| self.watch.is_trusted(link.peer.standing()));
    }

    fn keep(&self, link: Link) {
        let mut links = self.lock();
        if self.watch.is_trusted(link.peer.standing()) {
            links.idle.push(link);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn ask(&mut self, batch: &[Command]) -> RedisResult<Result<Answer, wire::Unusable>> {
        let answer = self.exchange(batch)?;
        if !matches!(answer, Err(wire::Unusable::NoScript)) {
            return Ok(answer);
        }
        let mut scripts = Pipeline::new();
        wire::load_scripts(&mut scripts);
        send(&mut self.connection, &scripts)?;
        self.exchange(batch)
    }

    fn exchange(&mut self, batch: &[Command]) -> RedisResult<Result<Answer, wire::Unusable>> {
        let sent = self.peer.exchange(batch, Instant::now());
        let values = send(&mut self.connection, sent.pipeline())?;
        Ok(self.peer.answer(&sent, values))
    }
}

/// One write, then the replies one by one, so that the first time-out ends the wait.
fn send(connection: &mut Connection, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    connection.send_packed_command(&pipeline.get_packed_pipeline())?;
    (0..pipeline.len()).map(|_| connection.recv_response()).collect()
}
