//! Promise: a store, a server, a future or a transaction that does what it should not costs time that is bounded, and never
//! a stale row.
use diesel::prelude::*;
use diesel_async::AsyncConnection;
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use integration_tests::databases::{self, Sqlite};
use integration_tests::interleave::Interleaved;
use integration_tests::models::{Project, SCHEMA, projects};
use model_runtime::Phase;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::prelude::*;
use model_runtime::store::{Answer, MemoryStore, RedisStore, Store, StoreError};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A watchdog, not a measurement: what takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

fn create(place: &Sqlite, cache: &Cache, slug: &str) -> Tracked<Project> {
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, cache);
    Project::create().organization_id(1).slug(slug).name(slug).execute(&mut db).unwrap()
}

fn read(place: &Sqlite, cache: &Cache, id: i32) -> String {
    let mut conn = place.connect();
    Project::get_from_cache(&mut Session::new(&mut conn, cache), projects::id, id).unwrap().name.clone()
}

/// Waits until `done` holds.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + HANGS;
    while !done() {
        assert!(Instant::now() < end, "it never happens: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_write_in_a_transaction_of_others_is_told_after_its_commit_though_no_intent_was_placed() {
    let place = databases::sqlite(SCHEMA);
    let store = Interleaved::new(Arc::new(MemoryStore::default()));
    let cache = Cache::builder()
        .store(store.clone())
        .intent_lifetime(Duration::from_millis(600))
        .lease(Duration::from_millis(100))
        .outage_first_pause(Duration::from_millis(1))
        .outage_longest_pause(Duration::from_millis(1))
        .build()
        .unwrap();
    let mut p = create(&place, &cache, "pump");
    let (id, mut writer) = (p.id, place.connect());
    writer
        .transaction(|conn| {
            store.fail(|command| matches!(command, Command::Place { .. }));
            p.update().name("new").execute(&mut Session::new(conn, &cache))?;
            // What is owed is told before the commit.
            until("the store is told", || cache.drain(Duration::from_secs(1)).is_ok());
            for _ in 0..3 {
                assert_eq!(read(&place, &cache, id), "pump");
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(
        read(&place, &cache, id),
        "new",
        "this process is served nothing until the intents would have expired"
    );
    let (mut other, hits) = (place.connect(), cache.stats().hits);
    until("it is cached again", || {
        let found = Project::get_from_cache(&mut Session::new(&mut other, &cache), projects::id, id).unwrap();
        assert_eq!(found.name, "new");
        cache.stats().hits > hits
    });
}

#[test]
fn a_deletion_that_began_while_the_model_was_on_does_not_allow_it_to_be_turned_on_again() {
    let place = Arc::new(databases::sqlite(SCHEMA));
    let store = Interleaved::new(Arc::new(MemoryStore::default()));
    let moment = Duration::from_millis(300);
    let cache = Cache::builder().store(store.clone()).intent_lifetime(moment).lease(moment).build().unwrap();
    let id = create(&place, &cache, "pump").id;
    let (of_the_hook, there) = (cache.clone(), place.clone());
    // Behind the last page of the deletion a row is filled, and then written by a process that tells nothing.
    store.after(
        |command| matches!(command, Command::Scan { cursor: 15, .. }),
        move || {
            let cache = of_the_hook;
            until("it is filled", || {
                read(&there, &cache, id);
                cache.stats().hits > 0
            });
            cache.set_phase::<Project>(Phase::WriteOnly).unwrap();
            until("what was on is over", || cache.set_phase::<Project>(Phase::Off).is_ok());
            let mut conn = there.connect();
            let mut db = Session::new(&mut conn, &cache);
            Project::update_where(projects::id.eq(id)).name("new").execute(&mut db).unwrap();
        },
    );
    cache.clear::<Project>().unwrap();
    cache.set_phase::<Project>(Phase::WriteOnly).unwrap();
    std::thread::sleep(2 * moment);
    let refused = cache.set_phase::<Project>(Phase::On).unwrap_err();
    assert!(refused.to_string().contains("call `clear` before"), "{refused}");
    cache.clear::<Project>().unwrap();
    cache.set_phase::<Project>(Phase::On).unwrap();
    assert_eq!(read(&place, &cache, id), "new");
}

#[derive(Debug)]
struct Away;

impl Store for Away {
    fn call(&self, _: &[Command]) -> Result<Answer, StoreError> {
        Err(StoreError("away".into()))
    }
}

/// Lookups that were admitted to the database while the store is away, and lookups that wait for that, may be futures that
/// nobody polls any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lookups_do_not_wait_for_ever_for_one_that_is_not_polled() {
    let place = databases::sqlite(SCHEMA);
    let cache = Cache::builder()
        .store(Arc::new(Away))
        .outage_concurrency(1)
        .lease(Duration::from_millis(200))
        .build()
        .unwrap();
    let ids: Vec<i32> = (0..3).map(|n| create(&place, &cache, &format!("p{n}")).id).collect();
    let (url, _) = place.url_and_setup();
    let connect = async || SyncConnectionWrapper::<SqliteConnection>::establish(&url).await.unwrap();
    let (mut one, mut two, mut three) = (connect().await, connect().await, connect().await);
    let mut sessions = [&mut one, &mut two, &mut three].map(|conn| AsyncSession::new(conn, &cache));
    let [first, second, third] = &mut sessions;
    let mut inside = Box::pin(Project::get_from_cache(first, projects::id, ids[0]));
    let mut waiting = Box::pin(Project::get_from_cache(second, projects::id, ids[1]));
    for lookup in [&mut inside, &mut waiting] {
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(lookup.as_mut().poll(context).is_pending())
        });
        assert!(polled.await, "it is under way");
    }
    let found = tokio::time::timeout(HANGS, Project::get_from_cache(third, projects::id, ids[2])).await;
    assert!(found.expect("it hangs").is_ok());
    let (sent, ended) = mpsc::channel();
    let (of_a_thread, mut conn) = (cache.clone(), place.connect());
    std::thread::spawn(move || {
        let mut db = Session::new(&mut conn, &of_a_thread);
        sent.send(Project::get_from_cache(&mut db, projects::id, ids[2]).is_ok())
    });
    assert!(ended.recv_timeout(HANGS).expect("it hangs"));
    inside.await.unwrap();
    waiting.await.unwrap();
}

/// A store that is away for a while, and panics once on the background thread.
#[derive(Debug, Default)]
struct Panics {
    inner: MemoryStore,
    away: AtomicBool,
    armed: AtomicBool,
}

impl Store for Panics {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let in_the_background = std::thread::current().name() == Some("model-cache");
        assert!(!(in_the_background && self.armed.swap(false, Ordering::SeqCst)), "as planned");
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError("away".into())),
            false => self.inner.call(batch),
        }
    }
}

#[test]
fn the_background_thread_survives_a_store_that_panics() {
    let store = Arc::new(Panics::default());
    let (place, cache) = (databases::sqlite(SCHEMA), Cache::builder().store(store.clone()).build().unwrap());
    let id = create(&place, &cache, "pump").id;
    // More keys than a caller sends before its own.
    for n in 0..300 {
        create(&place, &cache, &format!("p{n}"));
    }
    store.away.store(true, Ordering::SeqCst);
    store.armed.store(true, Ordering::SeqCst);
    let mut conn = place.connect();
    let mut db = Session::new(&mut conn, &cache);
    Project::update_where(projects::id.gt(0)).events(3).execute(&mut db).unwrap();
    until("it has panicked", || !store.armed.load(Ordering::SeqCst));
    store.away.store(false, Ordering::SeqCst);
    until("the cache is used again", || {
        let found = Project::get_from_cache(&mut db, projects::id, id).unwrap();
        assert_eq!(found.events, 3);
        cache.stats().hits > 0
    });
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

/// The words of a request; `None` at the end.
fn request(input: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let number = |input: &mut dyn BufRead| {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse::<usize>().ok()
    };
    let count = number(input)?;
    (0..count)
        .map(|_| {
            let mut word = vec![0; number(input)? + 2];
            input.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            Some(word)
        })
        .collect()
}

/// A server that answers each `GET` with the key itself, and pushes a message before the first one.
fn serve(conn: TcpStream, push: bool) {
    let (mut out, mut input, mut push) = (conn.try_clone().unwrap(), BufReader::new(conn), push);
    while let Some(words) = request(&mut input) {
        let reply = match words[0].to_ascii_uppercase().as_slice() {
            b"INFO" => bulk(
                b"redis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:a\r\nrole:master\r\nmaster_replid:b\r\n\
                uptime_in_seconds:99999\r\n",
            ),
            b"TIME" => b"*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n".to_vec(),
            b"SCRIPT" => bulk(b"0"),
            b"GET" if std::mem::take(&mut push) => {
                [b">2\r\n+message\r\n+x\r\n".to_vec(), bulk(&words[1])].concat()
            }
            b"GET" => bulk(&words[1]),
            _ => b"+OK\r\n".to_vec(),
        };
        if out.write_all(&reply).is_err() {
            return;
        }
    }
}

#[test]
fn a_reply_that_nobody_asked_for_is_not_taken_for_the_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, conn) in listener.incoming().map_while(Result::ok).enumerate() {
            std::thread::spawn(move || serve(conn, number == 0));
        }
    });
    let patience = Duration::from_secs(5);
    let store = RedisStore::new(&url, patience, patience, Duration::ZERO).unwrap();
    let answers = ["a", "b", "c"].map(|key| store.call(&[Command::Get { key: key.into() }]));
    assert!(answers[0].is_err(), "{answers:?}");
    for (key, answer) in ["b", "c"].iter().zip(&answers[1..]) {
        let replies = &answer.as_ref().unwrap().replies;
        assert_eq!(replies, &[Reply::Entry(Some(key.as_bytes().to_vec()))]);
    }
}
