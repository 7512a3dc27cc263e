//! A run: rounds of workers under faults, each checked by itself.
use super::check::{History as Seen, check};
use super::crew::Crew;
use super::event::{Event, What, now};
use super::exposure::exposures_of;
use super::fault::Defect;
use super::ledger::{ABSENT, REGISTERS, code_register, slug_register};
use super::link::{Database, Link};
use super::model::{History, Part, code, histories, parts, schema, slot, slug};
use super::orders::Orders;
use super::report::Tally;
use super::worker::from_database;
use super::{INTENT_LIFETIME, LEASE, PARTS, ROWS};
use crate::databases;
use crate::servers::RedisServer;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use model_runtime::ModelSql;
use model_runtime::prelude::*;
use std::error::Error as AnyError;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many reads a round takes at most: what it logs is held in memory.
const ROUND: u64 = 1_000_000;
/// A watchdog, not a measurement: without a read for so long, the workers hang.
const HANGS: Duration = Duration::from_secs(60);
/// Between two losses of the store, so that it holds something again.
const LOSS_PAUSE: Duration = Duration::from_millis(400);
/// A process that met a dead server asks it again after a second, or two; a stopped one later.
const RECOVERY: Duration = Duration::from_secs(3);
/// What the driver does to the store, in turns.
const LOSSES: [&str; 4] = ["FLUSHALL", "SCRIPT FLUSH", "restart", "FLUSHALL"];

/// What a run is.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which database; each of them unless told
    #[arg(long)]
    pub database: Option<Database>,
    /// How many reads at least, on each database
    #[arg(long, default_value_t = 40_000)]
    pub reads: u64,
    /// How many faults at least, on each database
    #[arg(long, default_value_t = 40)]
    pub faults: u64,
    /// Where the choices of points, faults, rows and operations begin
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Break something, so that the run must fail: fill-without-lease, no-intents, release-early, skip-some-keys,
    /// lost-write, phantom-write or unguarded-drop
    #[arg(long)]
    pub defect: Option<Defect>,
}

/// Runs on one database.
///
/// # Errors
/// Where something fails that is not under test.
pub fn run(database: Database, options: &Options) -> Result<Tally, Box<dyn AnyError>> {
    match database {
        Database::Sqlite => {
            let place = databases::sqlite(schema(database));
            Run::<diesel::SqliteConnection>::start(database, options, place.url_and_setup())?.rounds()
        }
        Database::Postgres => {
            let place = databases::postgres(schema(database));
            Run::<diesel::PgConnection>::start(database, options, place.url_and_setup())?.rounds()
        }
        Database::Mysql => {
            let place = databases::mysql(schema(database));
            Run::<diesel::MysqlConnection>::start(database, options, place.url_and_setup())?.rounds()
        }
    }
}

struct Run<'o, C> {
    options: &'o Options,
    orders: Orders,
    conn: C,
    redis: RedisServer,
    tally: Tally,
    bar: ProgressBar,
}

/// What a round must come to.
struct Goal {
    reads: u64,
    faults: u64,
    /// In a round with any, the store loses its data, and no writer dies.
    losses: u64,
}

impl<'o, C: Link> Run<'o, C>
where
    History: ModelSql<C::Backend>,
    Part: ModelSql<C::Backend>,
{
    fn start(
        database: Database,
        options: &'o Options,
        (url, setup): (String, String),
    ) -> Result<Self, Box<dyn AnyError>> {
        let mut conn = C::open(&url, &setup)?;
        let cache = Cache::memory();
        let mut db = Session::new(&mut conn, &cache);
        for row in 0..ROWS {
            History::create().slug(slug(row)).v(0).room(i32::from(row)).mark(0).execute(&mut db)?;
        }
        for part in 0..PARTS {
            Part::create().code(code(part)).slug(slot(part)).v(0).execute(&mut db)?;
        }
        // They belong to no round.
        conn.batch_execute("DELETE FROM ledger")?;
        let mortal = vec![std::env::current_exe()?.into(), "mortal".into()];
        let redis = RedisServer::started_by(mortal);
        let (seed, defect) = (options.seed, options.defect);
        let (log, redis_url) = (std::path::PathBuf::new(), redis.url());
        let orders = Orders {
            database,
            url,
            setup,
            redis: redis_url,
            log,
            seed,
            marks: 0,
            chance: 0.0,
            lossy: false,
            defect,
        };
        let style = ProgressStyle::with_template("{prefix} {bar:40} {pos}/{len} reads {eta} {msg}")?;
        let bar = ProgressBar::new(options.reads).with_style(style).with_prefix(database.name());
        let tally = Tally { database: database.name().to_owned(), ..Tally::default() };
        Ok(Self { options, orders, conn, redis, tally, bar })
    }

    /// Most of it strikes the workers; then the store loses its data, and no writer dies meanwhile: together the two
    /// may cost more than the one.
    fn rounds(mut self) -> Result<Tally, Box<dyn AnyError>> {
        let count = self.options.reads.div_ceil(ROUND).max(1);
        for number in 1..=count {
            let due = |all: u64| (all * number).div_ceil(count);
            let (reads, faults) = (due(self.options.reads), due(self.options.faults));
            let left =
                (reads.saturating_sub(self.tally.reads), faults.saturating_sub(self.tally.fault_count()));
            let lossy = Goal { reads: left.0 / 5, faults: left.1 / 5, losses: LOSSES.len() as u64 };
            self.round(&Goal { reads: left.0 - lossy.reads, faults: left.1 - lossy.faults, losses: 0 })?;
            self.round(&lossy)?;
        }
        self.bar.finish_and_clear();
        Ok(self.tally)
    }

    fn round(&mut self, goal: &Goal) -> Result<(), Box<dyn AnyError>> {
        self.orders.seed = self.orders.seed.wrapping_add(1);
        self.orders.marks += 1 << 48;
        self.orders.lossy = goal.losses > 0;
        #[allow(clippy::cast_precision_loss, reason = "a probability")]
        let chance = 1.5 * goal.faults as f64 / goal.reads.max(1) as f64;
        // Where the reads are there and the faults are not, workers must still read.
        self.orders.chance = chance.min(0.01);
        let initial = self.stored()?;
        let folder = TempDir::new()?;
        let mut crew = Crew::start(folder.path().to_owned(), self.orders.clone())?;
        let losses = self.watch(&mut crew, goal)?;
        crew.dismiss()?;
        // Until the intents of killed writers are gone.
        sleep(INTENT_LIFETIME * 2);
        self.tally.count(&crew.logs);
        let ledger = self.conn.ledger()?;
        self.conn.batch_execute("DELETE FROM ledger")?;
        let history = Seen { initial, processes: std::mem::take(&mut crew.logs), losses, ledger };
        self.tally.judge(&history, &check(&history));
        self.heals(&history)
    }

    /// Until the goal is reached; returns when the store lost everything.
    fn watch(&mut self, crew: &mut Crew, goal: &Goal) -> Result<Vec<Event>, Box<dyn AnyError>> {
        let (mut losses, mut last_loss, mut turn) = (Vec::new(), Instant::now(), 0);
        let (mut reads, mut progress, mut reached) = (0, Instant::now(), None::<Instant>);
        loop {
            sleep(Duration::from_millis(10));
            crew.tend()?;
            if crew.reads > reads {
                (reads, progress) = (crew.reads, Instant::now());
            } else if progress.elapsed() > HANGS {
                return Err("the workers hang".into());
            }
            let faults = crew.faults + turn;
            self.bar.set_position(self.tally.reads + reads);
            self.bar.set_message(format!("{} faults", self.tally.fault_count() + crew.faults));
            match reached {
                None if reads >= goal.reads && faults >= goal.faults && turn >= goal.losses => {
                    crew.calm()?;
                    reached = Some(Instant::now());
                }
                // Keys that wait for their release are released before the workers go.
                Some(since) if since.elapsed() > RECOVERY => return Ok(losses),
                None if goal.losses > 0 && last_loss.elapsed() > LOSS_PAUSE => {
                    losses.extend(self.lose(LOSSES[usize::try_from(turn)? % LOSSES.len()])?);
                    (last_loss, turn) = (Instant::now(), turn + 1);
                }
                _ => {}
            }
        }
    }

    fn lose(&mut self, what: &'static str) -> Result<Option<Event>, Box<dyn AnyError>> {
        *self.tally.losses.entry(what).or_default() += 1;
        let begin = now();
        if what == "restart" {
            self.redis.restart();
        } else {
            self.command(what)?;
        }
        // Scripts that are forgotten are sent again; nothing is lost with them.
        let lost = what != "SCRIPT FLUSH";
        Ok(lost.then(|| Event { begin, ..Event::new(What::Lost, u8::MAX, u8::MAX) }))
    }

    /// Tells the store something; a worker that cuts all connections cuts this one too.
    fn command(&self, words: &str) -> Result<(), Box<dyn AnyError>> {
        let (client, begun) = (redis::Client::open(self.redis.url())?, Instant::now());
        let mut command = redis::Cmd::new();
        command.arg(words.split(' ').collect::<Vec<_>>());
        loop {
            match client.get_connection().and_then(|mut conn| command.exec(&mut conn)) {
                Err(error) if error.is_io_error() && begun.elapsed() < HANGS => {
                    sleep(Duration::from_millis(5));
                }
                done => return Ok(done?),
            }
        }
    }

    /// What each lookup returns, as the database has it.
    fn stored(&mut self) -> Result<Vec<i64>, Box<dyn AnyError>> {
        let mut out = vec![ABSENT; REGISTERS.into()];
        for (code, slug, v) in self.conn.parts()? {
            let registers = [code_register(&code), slug_register(&slug)];
            registers.into_iter().flatten().for_each(|register| out[usize::from(register)] = v);
        }
        let cache = Cache::memory();
        let mut db = Session::new(&mut self.conn, &cache);
        for row in 0..ROWS {
            out[usize::from(row)] = from_database(&mut db, row)?.v.into();
        }
        Ok(out)
    }

    /// Now that the writers are quiet, nothing stale must be left.
    fn heals(&mut self, history: &Seen) -> Result<(), Box<dyn AnyError>> {
        let stored = self.stored()?;
        let cache = Cache::builder()
            .redis(&self.redis.url())
            .intent_lifetime(INTENT_LIFETIME)
            .lease(LEASE)
            .build()?;
        let mut db = Session::new(&mut self.conn, &cache);
        let mut read = Vec::new();
        for _ in 0..2 {
            for row in 0..ROWS {
                let id = from_database(&mut db, row)?.id;
                let by_slug = History::get_from_cache(&mut db, histories::slug, slug(row))?;
                read.push((row, by_slug.v.into()));
                read.push((row, History::get_from_cache(&mut db, histories::id, id)?.v.into()));
            }
            for number in 0..PARTS {
                let by_slug = Part::get_from_cache(&mut db, parts::slug, slot(number)).optional()?;
                read.push((ROWS + PARTS + number, by_slug.map_or(ABSENT, |part| part.v)));
                for code in [code(number), code(number).to_uppercase()] {
                    let by_code = Part::get_from_cache(&mut db, parts::code, code).optional()?;
                    read.push((ROWS + number, by_code.map_or(ABSENT, |part| part.v)));
                }
            }
        }
        let stale: Vec<_> = read.into_iter().filter(|(at, v)| *v != stored[usize::from(*at)]).collect();
        for (register, v) in stale {
            let open = exposures_of(history, register);
            if open.iter().any(|exposure| exposure.until == u64::MAX) {
                *self.tally.left.entry(history.round()).or_default() += 1;
            } else {
                let is = stored[usize::from(register)];
                self.tally.stale.push(format!("stale read: lookup {register} is left at {v} and is {is}\n"));
            }
        }
        // What is left within the bounds must not be found again in the next round, whose log does not explain it.
        self.command("FLUSHALL")
    }
}
