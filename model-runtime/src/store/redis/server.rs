//! What the handshake of each connection learns about the server.
use crate::cache::entry::Epoch;
use crate::cache::protocol::Reply;
use crate::store::{Answer, StoreError};
use redis::{Pipeline, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const OLDEST_MAJOR: u32 = 7;

/// The questions of the handshake: what the server is, and the scripts loaded.
pub(super) fn handshake() -> Pipeline {
    let mut out = Pipeline::new();
    out.cmd("INFO").arg("server");
    out.cmd("INFO").arg("replication");
    out.cmd("INFO").arg("memory");
    super::wire::load_scripts(&mut out);
    out
}

/// What the handshake learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// The life of the store: another one after a restart, a failover or a resync.
    epoch: Epoch,
    /// How long it has been alive, where nothing came before it: a replica that was promoted counts as just born.
    age: Duration,
    /// The `maxmemory-policy`, where it may take intents before rows.
    unfit_policy: Option<String>,
}

/// What each answer on a connection is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    epoch: Epoch,
    quarantined_until: Option<Instant>,
    forgetful: bool,
}

impl Standing {
    pub(super) fn answer(&self, replies: Vec<Reply>) -> Answer {
        let quarantined = self.quarantined_until.is_some_and(|end| Instant::now() < end);
        Answer { epoch: self.epoch, quarantined, forgetful: self.forgetful, replies }
    }
}

/// What is known of the server's lives. A new one is only read from for as long as writers of the life before may be
/// at work, whose intents it does not know.
#[derive(Debug)]
pub(super) struct Watch {
    quarantine: Duration,
    /// When the last few lives were first met.
    met: Mutex<Vec<(Epoch, Instant)>>,
    warned: AtomicBool,
}

impl Watch {
    pub(super) fn new(quarantine: Duration) -> Self {
        Self { quarantine, met: Mutex::default(), warned: AtomicBool::new(false) }
    }

    /// What a connection is worth that was greeted so.
    pub(super) fn stand(&self, greeting: &Greeting, now: Instant) -> Standing {
        Standing {
            epoch: greeting.epoch,
            quarantined_until: self.meet(greeting, now),
            forgetful: greeting.unfit_policy.as_deref() == Some("volatile-ttl"),
        }
    }

    /// When entries may be filled; `None` for now.
    fn meet(&self, greeting: &Greeting, now: Instant) -> Option<Instant> {
        const REMEMBERED: usize = 8;
        if let Some(policy) = &greeting.unfit_policy
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                policy,
                "under pressure Redis may evict write intents: use noeviction or an LRU policy"
            );
        }
        if greeting.age > self.quarantine {
            return None;
        }
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let first = met.iter().find(|(epoch, _)| *epoch == greeting.epoch).map(|(_, first)| *first);
        let first = first.unwrap_or_else(|| {
            met.push((greeting.epoch, now));
            if met.len() > REMEMBERED {
                met.remove(0);
            }
            now
        });
        Some(first + self.quarantine).filter(|end| *end > now)
    }
}

/// Reads the answers of the handshake.
pub(super) fn greeting(values: Vec<Value>) -> Result<Greeting, StoreError> {
    let mut info = String::new();
    for value in values {
        match value {
            Value::ServerError(error) => {
                return Err(StoreError(format!("Redis refused the handshake: {error:?}")));
            }
            Value::BulkString(bytes) => info.push_str(&String::from_utf8_lossy(&bytes)),
            _ => {}
        }
    }
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let major = field("redis_version").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_MAJOR) {
        let found = field("redis_version").unwrap_or("unknown");
        return Err(StoreError(format!(
            "Redis {OLDEST_MAJOR} or later is needed, the server's version is {found}"
        )));
    }
    if field("redis_mode") == Some("cluster") {
        return Err(StoreError("Redis Cluster is not supported; connect to a standalone server".into()));
    }
    if field("role") == Some("slave") {
        return Err(StoreError("the server is a read-only replica; connect to its primary".into()));
    }
    match (field("run_id"), field("master_replid")) {
        (Some(run), Some(replication)) => {
            let seconds = field("uptime_in_seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
            let alone = field("master_replid2").is_none_or(|id| id.bytes().all(|digit| digit == b'0'));
            Ok(Greeting {
                epoch: Epoch(fnv1a(run, replication)),
                age: if alone { Duration::from_secs(seconds) } else { Duration::ZERO },
                unfit_policy: unfit_policy(field("maxmemory"), field("maxmemory_policy")),
            })
        }
        _ => Err(StoreError("INFO names no run_id and master_replid".into())),
    }
}

/// Under pressure, `volatile-ttl` takes what expires soonest, which are the intents; the others but LRU take some.
fn unfit_policy(limit: Option<&str>, policy: Option<&str>) -> Option<String> {
    let limited = limit.is_some_and(|limit| limit != "0");
    let fit = |policy: &&str| *policy == "noeviction" || policy.ends_with("-lru");
    policy.filter(|policy| limited && !fit(policy)).map(str::to_owned)
}

fn fnv1a(run: &str, replication: &str) -> u64 {
    let bytes = run.bytes().chain([0]).chain(replication.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeted(info: &str) -> Greeting {
        greeting(vec![Value::BulkString(info.as_bytes().to_vec())]).unwrap()
    }

    fn told(info: &str) -> Result<Epoch, StoreError> {
        Ok(greeting(vec![Value::BulkString(info.as_bytes().to_vec())])?.epoch)
    }

    #[test]
    fn a_young_life_is_only_read_from_for_a_while() {
        let (watch, now) = (Watch::new(Duration::from_secs(10)), Instant::now());
        let old = greeted(&format!("{GOOD}uptime_in_seconds:11\r\nmaster_replid2:000\r\n"));
        assert_eq!(watch.meet(&old, now), None);
        let promoted = greeted(&format!("{GOOD}uptime_in_seconds:11\r\nmaster_replid2:0a0\r\n"));
        let end = now + Duration::from_secs(10);
        assert_eq!(watch.meet(&promoted, now), Some(end));
        assert_eq!(watch.meet(&promoted, now + Duration::from_secs(9)), Some(end), "not from anew");
        assert_eq!(watch.meet(&promoted, end), None);
        let young = greeted(&format!("{GOOD}uptime_in_seconds:10\r\n").replace("run_id:a", "run_id:c"));
        assert_eq!(watch.meet(&young, end), Some(end + Duration::from_secs(10)));
    }

    #[test]
    fn a_policy_that_may_take_intents_is_told() {
        let policy = |text: &str| greeted(&format!("{GOOD}{text}")).unfit_policy;
        assert_eq!(policy("maxmemory:0\r\nmaxmemory_policy:volatile-ttl\r\n"), None, "never under pressure");
        assert_eq!(
            policy("maxmemory:9\r\nmaxmemory_policy:volatile-ttl\r\n").as_deref(),
            Some("volatile-ttl")
        );
        for fit in ["noeviction", "allkeys-lru", "volatile-lru"] {
            assert_eq!(policy(&format!("maxmemory:9\r\nmaxmemory_policy:{fit}\r\n")), None);
        }
    }

    const GOOD: &str =
        "redis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:a\r\nrole:master\r\nmaster_replid:b\r\n";

    #[test]
    fn another_run_and_another_history_are_another_epoch() {
        let epoch = told(GOOD).unwrap();
        assert_eq!(told(GOOD).unwrap(), epoch);
        assert_ne!(told(&GOOD.replace("run_id:a", "run_id:c")).unwrap(), epoch);
        assert_ne!(told(&GOOD.replace("replid:b", "replid:c")).unwrap(), epoch);
    }

    #[test]
    fn servers_that_cannot_keep_the_promise_are_refused() {
        for (good, bad, text) in [
            (":7.0.15", ":6.2.1", "Redis 7"),
            (":7.0.15", ":?", "Redis 7"),
            (":standalone", ":cluster", "Cluster"),
            (":master", ":slave", "replica"),
            ("run_id", "runid", "run_id"),
        ] {
            let error = told(&GOOD.replace(good, bad)).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        assert!(told("").is_err());
    }
}
