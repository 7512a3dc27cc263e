//! What the handshake of each connection learns about the server.
use crate::cache::entry::Epoch;
use crate::store::StoreError;
use redis::{Pipeline, Value};

const OLDEST_MAJOR: u32 = 7;

/// The questions of the handshake: what the server is, and the scripts loaded.
pub(super) fn handshake() -> Pipeline {
    let mut out = Pipeline::new();
    out.cmd("INFO").arg("server");
    out.cmd("INFO").arg("replication");
    super::wire::load_scripts(&mut out);
    out
}

/// The life of the store that the connection talks to: another one after a restart, a failover or a resync.
pub(super) fn epoch(values: Vec<Value>) -> Result<Epoch, StoreError> {
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
        (Some(run), Some(replication)) => Ok(Epoch(fnv1a(run, replication))),
        _ => Err(StoreError("INFO names no run_id and master_replid".into())),
    }
}

fn fnv1a(run: &str, replication: &str) -> u64 {
    let bytes = run.bytes().chain([0]).chain(replication.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(info: &str) -> Result<Epoch, StoreError> {
        epoch(vec![Value::BulkString(info.as_bytes().to_vec())])
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
