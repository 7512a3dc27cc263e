//! The async face: one connection shared by all tasks.
use super::exchange::{Broken, Peer};
use super::server::{self, Watch};
use super::wire;
use crate::cache::protocol::Command;
use crate::store::{Answer, StoreError};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisResult, Value};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The connection, made when it is first needed and again after it broke.
pub(super) struct Line {
    dialer: Arc<Dialer>,
    /// What connecting and the handshake may take together.
    patience: Duration,
}

/// Makes the connection.
struct Dialer {
    client: Client,
    config: AsyncConnectionConfig,
    watch: Arc<Watch>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    /// The making of the next one, as long as somebody waits for it. Whoever waits drives it: a task that is dropped, or not
    /// polled any more, keeps nobody waiting.
    attempt: Option<WeakShared<Attempt>>,
}

type Attempt = BoxFuture<'static, Result<Link, StoreError>>;

#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    peer: Arc<Peer>,
}

impl Line {
    pub(super) fn new(
        client: Client,
        watch: Arc<Watch>,
        connect_timeout: Duration,
        io_timeout: Duration,
    ) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(Some(io_timeout));
        let dialer = Dialer { client, config, watch, state: Mutex::default() };
        Self { dialer: Arc::new(dialer), patience: connect_timeout.saturating_add(io_timeout) }
    }

    /// Sends the batch; a connection that broke while it was idle, or led to a primary that is none any more, is
    /// replaced once.
    pub(super) async fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let held = self.dialer.held(&self.dialer.lock());
        if let Some(link) = held {
            match self.answer(link, batch).await {
                Err(Broken::Dropped(_) | Broken::Demoted) => {}
                other => return other.map_err(Broken::into_store_error),
            }
        }
        let link = self.connected().await?;
        self.answer(link, batch).await.map_err(Broken::into_store_error)
    }

    async fn answer(&self, mut link: Link, batch: &[Command]) -> Result<Answer, Broken> {
        let answer = link.ask(batch).await;
        if let Err(broken) = &answer {
            self.dialer.give_up(&link, broken);
        }
        answer
    }

    /// The connection, which one attempt makes for all who wait.
    async fn connected(&self) -> Result<Link, StoreError> {
        let attempt = match self.dialer.link_or_attempt() {
            Ok(link) => return Ok(link),
            Err(attempt) => attempt,
        };
        let made = tokio::time::timeout(self.patience, attempt.clone()).await;
        made.unwrap_or_else(|_| {
            // Its sockets may belong to a runtime that stands still: the next caller begins another.
            self.dialer.forget(&attempt);
            Err(StoreError("no connection was made in time".into()))
        })
    }
}

impl Dialer {
    fn link_or_attempt(self: &Arc<Self>) -> Result<Link, Shared<Attempt>> {
        let mut state = self.lock();
        if let Some(link) = self.held(&state) {
            return Ok(link);
        }
        let under_way = state.attempt.as_ref().and_then(WeakShared::upgrade);
        Err(under_way.unwrap_or_else(|| {
            let attempt = self.clone().dial().boxed().shared();
            state.attempt = attempt.downgrade();
            attempt
        }))
    }

    async fn dial(self: Arc<Self>) -> Result<Link, StoreError> {
        let generation = self.watch.generation();
        let link = self.greet(generation).await.map_err(|broken| {
            if matches!(broken, Broken::TimedOut(_)) {
                self.watch.distrust(generation);
            }
            broken.into_store_error()
        });
        let mut state = self.lock();
        // Who comes after a failure tries again.
        state.attempt = None;
        if let Ok(link) = &link {
            state.link = Some(link.clone());
        }
        link
    }

    async fn greet(&self, generation: u64) -> Result<Link, Broken> {
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
        let greeted = Instant::now();
        let answers = send(&mut connection, &server::handshake()).await?;
        let greeting = server::greeting(answers).map_err(Broken::Failed)?;
        let mut standing = self.watch.stand(&greeting, generation, Instant::now());
        if let Some(question) = self.watch.ask_age(&standing, &greeting) {
            let known_for = server::known_for(&send(&mut connection, &question).await?);
            standing = self.watch.stand_known(standing, known_for, Instant::now());
        }
        Ok(Link { connection, peer: Arc::new(Peer::new(standing, greeted)) })
    }

    /// Another task may have replaced it already.
    fn give_up(&self, link: &Link, broken: &Broken) {
        if matches!(broken, Broken::Demoted | Broken::TimedOut(_)) {
            self.watch.distrust(link.peer.standing().generation());
        }
        if !matches!(broken, Broken::Failed(_)) {
            self.lock().link.take_if(|held| Arc::ptr_eq(&held.peer, &link.peer));
        }
    }

    fn forget(&self, attempt: &Shared<Attempt>) {
        let mut state = self.lock();
        let held = state.attempt.as_ref().and_then(WeakShared::upgrade);
        if held.is_some_and(|held| held.ptr_eq(attempt)) {
            state.attempt = None;
        }
    }

    fn held(&self, state: &State) -> Option<Link> {
        state.link.clone().filter(|link| self.watch.is_trusted(link.peer.standing()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    async fn ask(&mut self, batch: &[Command]) -> Result<Answer, Broken> {
        let answer = self.exchange(batch).await?;
        if !matches!(answer, Err(wire::Unusable::NoScript)) {
            return Ok(answer?);
        }
        let mut scripts = Pipeline::new();
        wire::load_scripts(&mut scripts);
        self.send(&scripts).await?;
        Ok(self.exchange(batch).await??)
    }

    async fn exchange(&mut self, batch: &[Command]) -> RedisResult<Result<Answer, wire::Unusable>> {
        let peer = self.peer.clone();
        let sent = peer.exchange(batch, Instant::now());
        let values = self.send(sent.pipeline()).await?;
        Ok(peer.answer(&sent, values))
    }

    async fn send(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        send(&mut self.connection, pipeline).await
    }
}

async fn send(connection: &mut MultiplexedConnection, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    connection.send_packed_commands(pipeline, 0, pipeline.len()).await
}
