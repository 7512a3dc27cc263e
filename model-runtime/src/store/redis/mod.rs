//! The shared store: a standalone Redis or Valkey.
//!
//! | question | file |
//! | --- | --- |
//! | how is a command sent, how is a reply read? | `wire` |
//! | what does a script do? | the `.lua` file of its name; `scripts` has their hashes |
//! | which servers are accepted, what is the epoch? | `server` |
//! | how are connections kept, how long is waited? | `sync`, `asynchronous` |
//! | when is an answer believed? | `exchange` |
//! | whom does a TLS connection trust? | `tls` |
//! | how are writes of other processes heard of? | `listen` |
#[cfg(feature = "async")]
mod asynchronous;
mod exchange;
mod listen;
mod scripts;
mod server;
mod sync;
#[cfg(feature = "tls")]
mod tls;
mod wire;

#[cfg(feature = "tls")]
pub use tls::Tls;

use super::{Answer, Ear, Store, StoreError};
use crate::cache::protocol::Command;
use crate::error::{Error, Result};
use redis::{Client, ConnectionInfo, IntoConnectionInfo};
use server::Watch;
use std::sync::Arc;
use std::time::Duration;

/// Entries on a Redis server, version 7 or later, standalone.
pub struct RedisStore {
    /// Where it is, without the password.
    place: String,
    watch: Arc<Watch>,
    pool: sync::Pool,
    tracking: listen::Tracking,
    #[cfg(feature = "async")]
    line: asynchronous::Line,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RedisStore").field(&self.place).finish()
    }
}

impl RedisStore {
    /// A store on the server at `redis://[user:password@]host[:port][/database]`, or `rediss://…` with the feature `tls`,
    /// which trusts the system's certificates; it connects when it is first
    /// called.
    ///
    /// After a start, a restart or a failover of the server it fills nothing for as long as `quarantine`, the lifetime
    /// of write intents: writers may be at work whose intents went with the server's former life.
    ///
    /// # Errors
    /// [`Error::Cache`] where the URL is none; the text does not repeat it, as it may hold a password.
    pub fn new(
        url: &str,
        connect_timeout: Duration,
        io_timeout: Duration,
        quarantine: Duration,
    ) -> Result<Self> {
        #[cfg(feature = "tls")]
        tls::provide();
        let client = Client::open(connection_info(url)?).map_err(|error| Error::Cache(error.to_string()))?;
        Ok(Self::of(client, connect_timeout, io_timeout, quarantine))
    }

    /// The same at `rediss://…`, with certificates of your own.
    ///
    /// # Errors
    /// As [`new`](Self::new), and where the URL is none of TLS or a certificate cannot be read.
    #[cfg(feature = "tls")]
    pub fn with_tls(
        url: &str,
        tls: &Tls,
        connect_timeout: Duration,
        io_timeout: Duration,
        quarantine: Duration,
    ) -> Result<Self> {
        tls::provide();
        let client = tls.client(connection_info(url)?)?;
        Ok(Self::of(client, connect_timeout, io_timeout, quarantine))
    }

    fn of(client: Client, connect_timeout: Duration, io_timeout: Duration, quarantine: Duration) -> Self {
        let place = client.get_connection_info().addr().to_string();
        let watch = Arc::new(Watch::new(quarantine));
        Self {
            place,
            #[cfg(feature = "async")]
            line: asynchronous::Line::new(client.clone(), watch.clone(), connect_timeout, io_timeout),
            tracking: listen::Tracking::new(client.clone(), connect_timeout, io_timeout),
            pool: sync::Pool::new(client, watch.clone(), connect_timeout, io_timeout),
            watch,
        }
    }

    /// What the store's own keys begin with, as all others of the cache do.
    pub(crate) fn set_prefix(&self, prefix: &str) {
        self.watch.set_prefix(prefix);
    }

    /// Connects, so that a wrong address is found at the start.
    ///
    /// # Errors
    /// [`Error::Cache`] with the server's address, where it does not answer or is not fit: older than Redis 7,
    /// a cluster, a replica.
    pub fn check(&self) -> Result<()> {
        self.pool.check().map_err(|error| Error::Cache(self.named(&error).0))
    }

    fn named(&self, error: &StoreError) -> StoreError {
        StoreError(format!("Redis at {}: {error}", self.place))
    }
}

fn connection_info(url: &str) -> Result<ConnectionInfo> {
    if url.starts_with("rediss://") && !cfg!(feature = "tls") {
        return Err(Error::Cache("`rediss://` needs the feature `tls` of model-runtime; turn it on".into()));
    }
    let info = url.into_connection_info().map_err(|error| {
        Error::Cache(format!(
            "expected redis://[user:password@]host[:port][/database], or rediss:// for TLS ({})",
            error.category()
        ))
    })?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    // Two replies less to wait for on each new connection.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(info.set_tcp_settings(tcp).set_redis_settings(settings))
}

impl Store for RedisStore {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        self.pool.call(batch).map_err(|error| self.named(&error))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn listen(&self, ear: &mut dyn Ear) -> Result<(), StoreError> {
        self.tracking.listen(ear).map_err(|error| self.named(&StoreError(error.to_string())))
    }

    #[cfg(feature = "async")]
    fn call_async<'a>(&'a self, batch: &'a [Command]) -> super::Answering<'a> {
        Box::pin(async move { self.line.call(batch).await.map_err(|error| self.named(&error)) })
    }
}
