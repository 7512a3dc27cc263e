//! The async face: one connection shared by all tasks.
use super::server::{self, Standing, Watch};
use super::wire::{self, Calls};
use crate::cache::protocol::Command;
use crate::store::{Answer, StoreError};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The connection, made when it is first needed and again after it broke.
pub(super) struct Line {
    client: Client,
    link: Mutex<Option<Link>>,
    config: AsyncConnectionConfig,
    watch: Arc<Watch>,
}

#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    standing: Standing,
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
        Self { client, link: Mutex::default(), config, watch }
    }

    /// Sends the batch; a connection that broke while it was idle is replaced once.
    pub(super) async fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        if let Some(link) = self.held() {
            match self.answer(link, batch).await {
                Err(error) if error.is_connection_dropped() => {}
                other => return answered(other),
            }
        }
        let link = self.connect().await?;
        answered(self.answer(link, batch).await)
    }

    async fn answer(&self, mut link: Link, batch: &[Command]) -> RedisResult<Result<Answer, wire::Unusable>> {
        let result = link.ask(batch).await;
        if result.is_err() {
            // Another task may have replaced it already; a connection too many is made then, and no harm done.
            *self.lock() = None;
        }
        result
    }

    async fn connect(&self) -> Result<Link, StoreError> {
        let connection = self.client.get_multiplexed_async_connection_with_config(&self.config).await;
        let mut connection = connection.map_err(|error| StoreError(error.to_string()))?;
        let answers = send(&mut connection, &server::handshake()).await;
        let answers = answers.map_err(|error| StoreError(error.to_string()))?;
        let standing = self.watch.stand(&server::greeting(answers)?, Instant::now());
        let link = Link { connection, standing };
        *self.lock() = Some(link.clone());
        Ok(link)
    }

    fn held(&self) -> Option<Link> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    async fn ask(&mut self, batch: &[Command]) -> RedisResult<Result<Answer, wire::Unusable>> {
        let calls = Calls::of(batch);
        let mut replies = calls.replies(batch, self.send(&calls.pipeline).await?);
        if matches!(replies, Err(wire::Unusable::NoScript)) {
            let mut scripts = Pipeline::new();
            wire::load_scripts(&mut scripts);
            self.send(&scripts).await?;
            replies = calls.replies(batch, self.send(&calls.pipeline).await?);
        }
        Ok(replies.map(|replies| self.standing.answer(replies)))
    }

    async fn send(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        send(&mut self.connection, pipeline).await
    }
}

async fn send(connection: &mut MultiplexedConnection, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    connection.send_packed_commands(pipeline, 0, pipeline.len()).await
}

fn answered(result: Result<Result<Answer, wire::Unusable>, RedisError>) -> Result<Answer, StoreError> {
    match result {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(wire::Unusable::Failed(error))) => Err(error),
        Ok(Err(wire::Unusable::NoScript)) => Err(StoreError("Redis forgets its scripts".into())),
        Err(error) => Err(StoreError(error.to_string())),
    }
}
