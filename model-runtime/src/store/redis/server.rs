//! What the handshake of each connection learns about the server, and whether it holds still.
use crate::cache::entry::Epoch;
use crate::cache::protocol::Reply;
use crate::store::{Answer, StoreError};
use redis::{Pipeline, Value};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

const OLDEST_MAJOR: u32 = 7;
/// Of the keys of a store without a namespace.
const DEFAULT_PREFIX: &str = "modelcache";
/// How long the server remembers since when a life of it has been known.
const LIFE_KEPT_MS: u64 = 30 * 24 * 3600 * 1000;

/// The questions of the handshake: what the server is, and the scripts loaded.
pub(super) fn handshake() -> Pipeline {
    let mut out = Pipeline::new();
    out.cmd("INFO").arg("server");
    out.cmd("INFO").arg("replication");
    out.cmd("INFO").arg("memory");
    out.cmd("INFO").arg("cluster");
    // After the others: the life that they tell of had begun by then.
    out.cmd("TIME");
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
    /// Of `master_replid`.
    history: u64,
    /// The server's clock, read after this life had begun.
    time_ms: Option<u64>,
}

/// For how long a life has been known at least, by the answers to [`Watch::ask_age`]. What cannot be read, or lies in the
/// future, says nothing.
pub(super) fn known_for(answers: &[Value]) -> Duration {
    let [Value::BulkString(since), now] = answers else { return Duration::ZERO };
    let since = std::str::from_utf8(since).ok().and_then(|text| text.parse::<u64>().ok());
    // Both are cut to milliseconds.
    let age = time_ms(now).zip(since).and_then(|(now, since)| now.checked_sub(since)?.checked_sub(1));
    Duration::from_millis(age.unwrap_or(0))
}

/// The answer to TIME.
fn time_ms(value: &Value) -> Option<u64> {
    let Value::Array(parts) = value else { return None };
    let [Value::BulkString(seconds), Value::BulkString(micros)] = parts.as_slice() else { return None };
    let number = |bytes| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    number(seconds)?.checked_mul(1000)?.checked_add(number(micros)? / 1000)
}

/// What each answer on a connection is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    epoch: Epoch,
    quarantined_until: Option<Instant>,
    forgetful: bool,
    history: u64,
    /// While connections of this generation are believed.
    generation: u64,
}

impl Standing {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the server still is what the handshake met, by its answer to [`recheck`].
    pub(super) fn holds(&self, answer: Option<&Value>) -> bool {
        let Some(Value::BulkString(bytes)) = answer else { return false };
        let info = String::from_utf8_lossy(bytes);
        let history = field(&info, "master_replid").map(|id| fnv1a("", id));
        field(&info, "role") == Some("master") && history == Some(self.history)
    }

    pub(super) fn answer(&self, replies: Vec<Reply>) -> Answer {
        let quarantined = self.quarantined_until.is_some_and(|end| Instant::now() < end);
        Answer { epoch: self.epoch, quarantined, forgetful: self.forgetful, replies }
    }
}

/// The question whether the server still is what the handshake met.
pub(super) fn recheck(out: &mut Pipeline) {
    out.cmd("INFO").arg("replication");
}

/// What is known of the server's lives. A new one is only read from for as long as writers of the life before may be
/// at work, whose intents it does not know.
#[derive(Debug)]
pub(super) struct Watch {
    quarantine: Duration,
    /// When the last few lives were first met.
    met: Mutex<Vec<(Epoch, Instant)>>,
    warned: AtomicBool,
    /// Connections of former generations may lead to a former primary: they are not used again.
    generation: AtomicU64,
    /// What the keys of the store begin with.
    prefix: OnceLock<String>,
}

impl Watch {
    pub(super) fn new(quarantine: Duration) -> Self {
        let (met, warned, generation) = (Mutex::default(), AtomicBool::new(false), AtomicU64::new(0));
        Self { quarantine, met, warned, generation, prefix: OnceLock::new() }
    }

    /// What its own keys begin with.
    pub(super) fn set_prefix(&self, prefix: &str) {
        let _ = self.prefix.set(prefix.to_owned());
    }

    /// To be asked before a connection is made.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Gives up every connection of this generation: what they lead to may be a primary no more.
    pub(super) fn distrust(&self, generation: u64) {
        // Another failure of the same connections may have done so already.
        let _ =
            self.generation.compare_exchange(generation, generation + 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    pub(super) fn is_trusted(&self, standing: &Standing) -> bool {
        standing.generation == self.generation()
    }

    /// What a connection is worth that was greeted so.
    pub(super) fn stand(&self, greeting: &Greeting, generation: u64, now: Instant) -> Standing {
        Standing {
            epoch: greeting.epoch,
            quarantined_until: self.meet(greeting, now),
            forgetful: greeting.unfit_policy.as_deref() == Some("volatile-ttl"),
            history: greeting.history,
            generation,
        }
    }

    /// Asks since when a life has been known that is in quarantine, and remembers it from now on where nobody knew. The times
    /// are the server's own.
    pub(super) fn ask_age(&self, standing: &Standing, greeting: &Greeting) -> Option<Pipeline> {
        standing.quarantined_until?;
        let prefix = self.prefix.get().map_or(DEFAULT_PREFIX, String::as_str);
        let key = format!("{prefix}:life:{:016x}", standing.epoch.0);
        let mut out = Pipeline::new();
        out.cmd("SET").arg(key).arg(greeting.time_ms?).arg("NX").arg("GET").arg("PX").arg(LIFE_KEPT_MS);
        out.cmd("TIME");
        Some(out)
    }

    /// What a connection is worth where the life of the server has been known for so long.
    pub(super) fn stand_known(&self, standing: Standing, known_for: Duration, now: Instant) -> Standing {
        // Longer than that is of no use, and an `Instant` may not go back so far.
        let Some(first) = now.checked_sub(known_for.min(self.quarantine)) else { return standing };
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, earliest) in met.iter_mut().filter(|(epoch, _)| *epoch == standing.epoch) {
            *earliest = first.min(*earliest);
        }
        let end = standing.quarantined_until.map(|end| end.min(first + self.quarantine));
        Standing { quarantined_until: end.filter(|end| *end > now), ..standing }
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
    let (mut info, mut time) = (String::new(), None);
    for value in values {
        match value {
            Value::ServerError(error) => {
                return Err(StoreError(format!("Redis refused the handshake: {error:?}")));
            }
            Value::BulkString(bytes) => info.push_str(&String::from_utf8_lossy(&bytes)),
            other => time = time.or_else(|| time_ms(&other)),
        }
    }
    let field = |name: &str| field(&info, name);
    let major = field("redis_version").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_MAJOR) {
        let found = field("redis_version").unwrap_or("unknown");
        return Err(StoreError(format!(
            "Redis {OLDEST_MAJOR} or later is needed, the server's version is {found}"
        )));
    }
    // Valkey has a name of its own for it.
    let modes = [field("redis_mode"), field("server_mode")];
    if modes.contains(&Some("cluster")) || field("cluster_enabled") == Some("1") {
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
                history: fnv1a("", replication),
                time_ms: time,
            })
        }
        _ => Err(StoreError("INFO names no run_id and master_replid".into())),
    }
}

/// A line of INFO.
fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
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
    fn a_life_that_others_have_known_for_long_is_not_young() {
        let (quarantine, now) = (Duration::from_secs(10), Instant::now());
        let promoted = greeted(&format!("{GOOD}uptime_in_seconds:11\r\nmaster_replid2:0a0\r\n"));
        let until = |known_for: u64| {
            let watch = Watch::new(quarantine);
            let standing = watch.stand(&promoted, 0, now);
            assert!(watch.ask_age(&standing, &promoted).is_none(), "without a clock nothing is remembered");
            let timed = Greeting { time_ms: Some(1), ..promoted.clone() };
            assert!(watch.ask_age(&standing, &timed).is_some());
            let standing = watch.stand_known(standing, Duration::from_secs(known_for), now);
            assert_eq!(watch.meet(&promoted, now), standing.quarantined_until, "as the next connection");
            standing.quarantined_until
        };
        assert_eq!(until(0), Some(now + quarantine));
        assert_eq!(until(9), Some(now + Duration::from_secs(1)));
        assert_eq!(until(10), None);
        assert_eq!(until(u64::MAX), None);
        let old = greeted(&format!("{GOOD}uptime_in_seconds:11\r\n"));
        let watch = Watch::new(quarantine);
        assert!(watch.ask_age(&watch.stand(&old, 0, now), &old).is_none(), "one round trip less");
    }

    #[test]
    fn only_what_the_server_remembers_and_its_clock_shorten_a_quarantine() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let time = |seconds: &str, micros: &str| Value::Array(vec![text(seconds), text(micros)]);
        let known_for =
            |since: Value| u64::try_from(known_for(&[since, time("20", "5999")]).as_millis()).unwrap();
        assert_eq!(known_for(text("8000")), 12_004, "of 12,005.999 ms at most");
        for odd in ["", "x", "-1", "20005", "20006", "30000", "99999999999999999999999"] {
            assert_eq!(known_for(text(odd)), 0, "{odd}");
        }
        assert_eq!((known_for(Value::Nil), known_for(Value::Int(1))), (0, 0));
        for odd in [time("x", "1"), time("1", "x"), time("18446744073709551615", "0"), Value::Nil] {
            assert_eq!(time_ms(&odd), None);
        }
    }

    #[test]
    fn a_server_of_another_role_or_history_holds_no_more() {
        let watch = Watch::new(Duration::ZERO);
        let standing = watch.stand(&greeted(GOOD), watch.generation(), Instant::now());
        let holds = |info: &str| standing.holds(Some(&Value::BulkString(info.as_bytes().to_vec())));
        assert!(holds("role:master\r\nmaster_replid:b\r\n"));
        for odd in ["role:slave\r\nmaster_replid:b", "role:master\r\nmaster_replid:c", "role:master", ""] {
            assert!(!holds(odd), "{odd}");
        }
        assert!(!standing.holds(None) && !standing.holds(Some(&Value::Nil)));
        assert!(watch.is_trusted(&standing));
        watch.distrust(standing.generation());
        watch.distrust(standing.generation());
        assert!(!watch.is_trusted(&standing));
        assert_eq!(watch.generation(), 1, "two failures of one generation");
    }

    /// What Valkey 8.0 says of itself.
    const VALKEY: &str = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n\
        server_mode:standalone\r\nrun_id:a\r\nrole:master\r\nmaster_replid:b\r\ncluster_enabled:0\r\n";

    #[test]
    fn valkey_is_accepted_unless_it_is_a_cluster() {
        assert!(told(VALKEY).is_ok());
        for (alone, cluster) in [("mode:standalone", "mode:cluster"), ("enabled:0", "enabled:1")] {
            let error = told(&VALKEY.replace(alone, cluster)).unwrap_err().to_string();
            assert!(error.contains("Cluster"), "{error}");
        }
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
