//! Promise: what cannot be used from the cache is a miss and is replaced.
use integration_tests::models::{Project, projects};
use integration_tests::on_every_database_and_store;
use model_runtime::cache::entry;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::prelude::*;
use std::sync::Arc;

/// What stands in the store, seen and set by protocol commands alone.
fn entry_of(store: &Arc<dyn model_runtime::store::Store>, key: &str) -> Vec<u8> {
    let answer = store.call(&[Command::Get { key: key.into() }]).unwrap();
    let [Reply::Entry(Some(bytes))] = &answer.replies[..] else { panic!("{:?}", answer.replies) };
    bytes.clone()
}

fn replace(store: &Arc<dyn model_runtime::store::Store>, key: &str, new: Vec<u8>) {
    let expect = entry_of(store, key);
    let swap = Command::Swap { key: key.into(), expect, new, ttl_ms: 60_000 };
    assert_eq!(store.call(&[swap]).unwrap().replies, [Reply::Done(true)]);
}

on_every_database_and_store! {
    fn undecodable_and_foreign_entries_are_replaced(conn, store) {
        let cache = Cache::builder().store(store.clone()).build().unwrap();
        let mut db = Session::new(conn, &cache);
        let p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).unwrap();
        let key = cache.row_key::<Project>(&p);
        Project::get_from_cache(&mut db, projects::id, p.id).unwrap();
        let good = entry_of(&store, &key);

        let mut other_fingerprint = good.clone();
        other_fingerprint[entry::HEADER] ^= 1;
        let mut other_epoch = good.clone();
        other_epoch[1] ^= 1;
        let mut broken_payload = good.clone();
        let end = broken_payload.len() - 1;
        broken_payload.truncate(end);
        let mut trailing = good.clone();
        trailing.push(0);
        let mut no_marker = good.clone();
        // Where the first field begins; at the end there are the digits of a timestamp.
        no_marker[entry::HEADER + 20] = 0xc1;
        for (what, bad) in [
            ("another schema", other_fingerprint),
            ("another epoch", other_epoch),
            ("a cut payload", broken_payload),
            ("bytes after the last field", trailing),
            ("a byte that MessagePack never uses", no_marker),
            ("no entry at all", b"garbage".to_vec()),
            ("a header alone", b"V".to_vec()),
        ] {
            replace(&store, &key, bad);
            let hits = cache.stats().hits;
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap(), p, "{what}");
            assert_eq!(cache.stats().hits, hits, "{what} is a miss");
            assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).unwrap(), p, "{what}");
            assert_eq!(cache.stats().hits, hits + 1, "{what} was replaced");
        }
        assert!(cache.stats().healed >= 3);
    }
}
