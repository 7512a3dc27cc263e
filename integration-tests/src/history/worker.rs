//! A process that reads and writes through the cache and logs what it saw, until its input ends.
use super::event::{Event, Log, What, now};
use super::fault::{Fault, Point};
use super::link::{Database, Link};
use super::model::{History, histories, slug};
use super::orders::Orders;
use super::store::FaultyStore;
use super::{INTENT_LIFETIME, LEASE, ROWS, THREADS};
use diesel::{MysqlConnection, PgConnection, SqliteConnection};
use fastrand::Rng;
use model_runtime::ModelSql;
use model_runtime::prelude::*;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::array::from_fn;
use std::io::{Read, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a run of equal reads may grow before it is logged.
const LONGEST_RUN: u64 = 100_000_000;
/// One read of so many asks the database, and so knows what was committed whatever the cache holds.
const WITNESS: u32 = 10;
/// Of 100 operations.
const WRITES: u32 = 3;

/// How long a worker tries to tell the store what it owes, before it ends.
const PATIENCE: Duration = Duration::from_secs(40);

/// Works until the input ends.
pub fn run(orders: &Orders) {
    // A stopped worker would not see its input end.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    match orders.database {
        Database::Sqlite => work::<SqliteConnection>(orders),
        Database::Postgres => work::<PgConnection>(orders),
        Database::Mysql => work::<MysqlConnection>(orders),
    }
}

fn work<C: Link>(orders: &Orders)
where
    History: ModelSql<C::Backend>,
{
    let log = Arc::new(Log::create(&orders.log).unwrap());
    let memory = Cache::memory();
    let rows = load::<C>(orders, &memory);
    let places = (0..).zip(&rows).map(|(place, row)| (memory.row_key(&**row), place)).collect();
    let store = Arc::new(FaultyStore::new(&orders.redis, places, log.clone(), orders.defect));
    let cache = Cache::builder().store(store.clone()).intent_lifetime(INTENT_LIFETIME).lease(LEASE);
    let cache = cache.build().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (log, cache, over) = (log.clone(), &cache, &over);
            scope.spawn(move || Worker::<C>::new(orders, number, log, cache).work(over));
        }
        scope.spawn(|| {
            // A byte ends the faults, the end of the input everything.
            let _ = stdin().read(&mut [0]);
            store.calm.store(true, Ordering::Relaxed);
            let _ = stdin().read_to_end(&mut Vec::new());
            over.store(true, Ordering::Relaxed);
        });
        let mut last = false;
        while !last {
            last = over.load(Ordering::Relaxed);
            let stats = cache.stats();
            let others = stats.misses + stats.bypasses;
            log.add(Event { begin: stats.hits, end: others, ..Event::new(What::Looked, u8::MAX, u8::MAX) });
            thread::sleep(Duration::from_millis(50));
        }
    });
    cache.drain(PATIENCE).unwrap();
}

fn open<C: Link>(orders: &Orders) -> C {
    let conn = C::open(&orders.url, &orders.setup);
    conn.unwrap_or_else(|error| panic!("a worker cannot reach its database: {error}"))
}

fn load<C: Link>(orders: &Orders, cache: &Cache) -> [Tracked<History>; ROWS as usize]
where
    History: ModelSql<C::Backend>,
{
    let mut conn = open::<C>(orders);
    let mut db = Session::new(&mut conn, cache);
    from_fn(|row| from_database(&mut db, u8::try_from(row).unwrap()).unwrap())
}

/// The row as the database has it: inside a transaction no lookup asks the store.
pub(super) fn from_database<C: Link>(
    db: &mut Session<'_, C>,
    row: u8,
) -> model_runtime::Result<Tracked<History>>
where
    History: ModelSql<C::Backend>,
{
    db.transaction(|db| History::get_from_cache(db, histories::slug, slug(row)))
}

/// Reads in a row that returned the same value.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    count: u32,
    v: i64,
    latest_begin: u64,
    earliest_end: u64,
}

/// One thread.
struct Worker<'w, C> {
    orders: &'w Orders,
    number: u8,
    log: Arc<Log>,
    cache: &'w Cache,
    conn: C,
    rows: [Tracked<History>; ROWS as usize],
    runs: [Run; ROWS as usize],
    rng: Rng,
}

/// Why a transaction did not commit.
enum Abort {
    OnPurpose,
    Failed,
}

impl From<Error> for Abort {
    fn from(_: Error) -> Self {
        Self::Failed
    }
}

impl<'w, C: Link> Worker<'w, C>
where
    History: ModelSql<C::Backend>,
{
    fn new(orders: &'w Orders, number: u8, log: Arc<Log>, cache: &'w Cache) -> Self {
        let rng = Rng::with_seed(orders.seed.wrapping_add(u64::from(number)));
        let rows = load::<C>(orders, cache);
        let mut this =
            Self { orders, number, log, cache, conn: open(orders), rows, runs: Default::default(), rng };
        this.connected();
        this
    }

    fn connected(&mut self) {
        FaultyStore::enter(self.number);
        FaultyStore::on_cut(self.conn.cut(&self.orders.url));
    }

    fn reconnect(&mut self) {
        self.conn = open(self.orders);
        self.connected();
    }

    fn work(mut self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            if self.rng.f64() < self.orders.chance {
                let point = Point::ALL[self.rng.usize(..Point::ALL.len())];
                FaultyStore::arm(point, self.fault());
            }
            let row = self.rng.u8(..ROWS);
            match self.rng.u32(..100) < WRITES {
                true => self.write(row),
                false => self.read(row),
            }
        }
        (0..ROWS).for_each(|row| self.end_run(row));
    }

    fn fault(&mut self) -> Fault {
        let faults: &[Fault] = match (self.orders.lossy, self.orders.database) {
            (true, _) => &[Fault::Stop, Fault::CutStore],
            // A kill waits while its process has just been stopped, so that it comes seldom enough.
            (false, Database::Sqlite) => &[Fault::Kill, Fault::Kill, Fault::Stop, Fault::CutStore],
            (false, Database::Postgres | Database::Mysql) => {
                &[Fault::Kill, Fault::Kill, Fault::Stop, Fault::CutStore, Fault::CutDatabase]
            }
        };
        faults[self.rng.usize(..faults.len())]
    }

    fn read(&mut self, row: u8) {
        let (at, begin) = (usize::from(row), now());
        let mut db = Session::new(&mut self.conn, self.cache);
        let read = match self.rng.u32(..2 * WITNESS) {
            0 | 1 => from_database(&mut db, row),
            2..=WITNESS => History::get_from_cache(&mut db, histories::slug, slug(row)),
            _ => History::get_from_cache(&mut db, histories::id, self.rows[at].id),
        };
        let v = match read {
            Ok(read) => i64::from(read.v),
            Err(Error::DoesNotExist { lookup, .. }) => panic!("no row matches {lookup}"),
            Err(_) => return self.reconnect(),
        };
        let end = now();
        if self.runs[at].v != v || end > self.runs[at].earliest_end + LONGEST_RUN {
            self.end_run(row);
        }
        let run = &mut self.runs[at];
        if run.count == 0 {
            *run = Run { v, earliest_end: end, ..*run };
        }
        *run = Run { count: run.count + 1, latest_begin: begin, ..*run };
    }

    fn end_run(&mut self, row: u8) {
        let Run { count, v, latest_begin: begin, earliest_end: end } =
            std::mem::take(&mut self.runs[usize::from(row)]);
        if count > 0 {
            let event = Event::new(What::Read, self.number, row);
            self.log.add(Event { count, v, begin, end, ..event });
        }
    }

    fn write(&mut self, row: u8) {
        let mut rows = vec![row];
        let kind = self.rng.u32(..8);
        if kind == 0 {
            rows.push((row + self.rng.u8(1..ROWS)) % ROWS);
        }
        for row in &rows {
            self.log.add(Event::new(What::Started, self.number, *row));
        }
        let mut db = Session::new(&mut self.conn, self.cache);
        let increase = |row: &mut Tracked<History>, db: &mut Session<'_, C>| {
            row.update().v(F(histories::v) + 1).execute(db).map(drop)
        };
        let done = match kind {
            0..=3 => db.transaction(|db| {
                rows.iter().try_for_each(|row| increase(&mut self.rows[usize::from(*row)], db))?;
                if kind == 3 { Err(Abort::OnPurpose) } else { Ok(()) }
            }),
            _ => increase(&mut self.rows[usize::from(row)], &mut db).map_err(Abort::from),
        };
        for row in rows {
            let what = match done {
                Ok(()) => What::Acked,
                Err(Abort::OnPurpose) => What::RolledBack,
                Err(Abort::Failed) => What::Unknown,
            };
            let v = i64::from(self.rows[usize::from(row)].v);
            self.log.add(Event { v, ..Event::new(what, self.number, row) });
        }
        if matches!(done, Err(Abort::Failed)) {
            self.reconnect();
        }
    }
}
