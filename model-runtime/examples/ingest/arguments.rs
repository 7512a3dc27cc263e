//! The command line.
use crate::Failure;
use clap::Parser;
use model_runtime::Cache;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../integration-tests/data");

/// Groups change events by path: a cached lookup, an upsert and a cached lookup per event, checked against an
/// oracle
#[derive(Debug, Parser)]
#[command(name = "ingest")]
pub(crate) struct Arguments {
    /// `sqlite:FILE` (a new file), `postgres://…` or `mysql://…`; a temporary SQLite file if not given
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// `redis://…`; the in-process store if not given
    #[arg(long, value_name = "URL")]
    cache_url: Option<String>,
    /// How long a write intent lives if its writer dies, and a restarted Redis is only read from
    #[arg(long, value_name = "MILLISECONDS", default_value = "10000")]
    intent_lifetime: u64,
    /// How many writers work at once; each takes its share of the paths
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) threads: NonZeroUsize,
    /// Events, gzipped or plain: unix time, path, lines added, lines removed, separated by tabs
    #[arg(long, value_name = "FILE", default_value_os_t = PathBuf::from(DATA).join("events.tsv.gz"), hide_default_value = true)]
    pub(crate) events: PathBuf,
    /// The expected groups: path, times seen, added, removed, first seen, last seen, separated by tabs
    #[arg(long, value_name = "FILE", default_value_os_t = PathBuf::from(DATA).join("groups.tsv"), hide_default_value = true)]
    pub(crate) groups: PathBuf,
}

impl Arguments {
    /// The cache that was asked for.
    pub(crate) fn cache(&self) -> Result<Cache, Failure> {
        match &self.cache_url {
            None => Ok(Cache::memory()),
            Some(url) => connect(url, Duration::from_millis(self.intent_lifetime)),
        }
    }
}

#[cfg(feature = "redis")]
fn connect(url: &str, intent_lifetime: Duration) -> Result<Cache, Failure> {
    // A namespace of its own: the groups of an earlier run are other rows.
    let namespace = format!("ingest-{}", std::process::id());
    let cache = Cache::builder().redis(url).namespace(&namespace).intent_lifetime(intent_lifetime).build()?;
    Ok(cache)
}

#[cfg(not(feature = "redis"))]
fn connect(_url: &str, _intent_lifetime: Duration) -> Result<Cache, Failure> {
    Err("--cache-url needs the feature `redis`: run with `--features redis`".into())
}
