//! The builds of one program, which differ in how far the cache is turned on; and a process of one of them.
#![allow(missing_docs, reason = "`diesel::table!` documents no columns")]
use super::check::{Event, What};
use crate::databases::Schema;
use crate::history::event::now;
use crate::history::link::{Database, Link};
use clap::{Args, ValueEnum};
use diesel::prelude::*;
use diesel::{MysqlConnection, PgConnection, SqliteConnection};
use fastrand::Rng;
use model_runtime::ModelSql;
use model_runtime::prelude::*;
use model_runtime::store::{RedisStore, Store};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::error::Error as AnyError;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write, stdin};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Few, so that readers and writers meet.
const ROWS: u8 = 4;
/// Of 100 operations.
const WRITES: u32 = 20;
/// A time-out must not decide what a deploy is meant to decide.
const PATIENCE: Duration = Duration::from_secs(20);

diesel::table! {
    rollouts (id) {
        id -> Integer,
        slug -> Text,
        v -> Integer,
    }
}

diesel::table! {
    rollout_changes (id) {
        id -> Integer,
        v -> Integer,
    }
}

/// Their tables.
pub const SCHEMA: Schema = Schema(&[
    "CREATE TABLE rollouts (id {pk}, slug {key} NOT NULL UNIQUE, v INTEGER NOT NULL)",
    "CREATE TABLE rollout_changes (id {pk}, v INTEGER NOT NULL)",
]);

/// How often a row was changed, so that changes have an order though rows come and go. It is not cached.
#[derive(Debug, Queryable, Selectable, SentryModel)]
#[diesel(table_name = rollout_changes)]
pub struct Changes {
    /// The row's key.
    #[bounded(auto)]
    pub id: i32,
    /// The number of its last change.
    #[bounded(positive)]
    pub v: i32,
}

/// What the new builds turn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Turned {
    /// `#[cache_fields]` on a model that was not cached
    Rows,
    /// `negative` of a cached model
    Negative,
}

/// A build of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Build {
    /// Before the cache, or the option, was thought of
    Old,
    /// The first deploy
    WriteOnly,
    /// The second
    On,
}

macro_rules! builds { ($($(#[$doc:meta])* $name:ident $(#[$cache:meta])? $lookup:ident)*) => { $(
    $(#[$doc])*
    #[derive(Debug, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = rollouts)]
    $(#[$cache])?
    pub struct $name {
        /// The primary key, which is the place of the row.
        #[bounded(auto)]
        pub id: i32,
        /// A unique field, which never changes.
        pub slug: String,
        /// The number of its last change.
        #[bounded(positive)]
        pub v: i32,
    }

    impl Program for $name {
        fn look<C: Link>(db: &mut Session<'_, C>, row: u8, rng: &mut Rng) -> Looked
        where
            Self: ModelSql<C::Backend>,
        {
            lookup!($lookup, $name, db, row, rng)
        }

        fn change<C: Link>(db: &mut Session<'_, C>, row: u8, v: i32, delete: bool) -> model_runtime::Result<bool>
        where
            Self: ModelSql<C::Backend>,
        {
            let new = $name::get_or_create().id(i32::from(row)).slug(slug(row)).defaults(|d| d.v(v));
            let (mut found, created) = new.execute(db)?;
            match created || !delete {
                true => found.update().v(v).execute(db)?,
                false => found.delete(db)?,
            };
            Ok(created || !delete)
        }
    }
)* } }

macro_rules! lookup {
    (database, $name:ident, $db:ident, $row:ident, $rng:ident) => {{
        // What the database answers is never stale.
        let _ = ($db, $row, $rng);
        Ok(None)
    }};
    (cache, $name:ident, $db:ident, $row:ident, $rng:ident) => {{
        let found = match $rng.bool() {
            true => $name::get_from_cache($db, rollouts::slug, slug($row)),
            false => $name::get_from_cache($db, rollouts::id, i32::from($row)),
        };
        Ok(Some(found.optional()?.map(|row| u64::try_from(row.v).unwrap())))
    }};
}

/// The number of the change that left a row, `None` where nothing was found; where it was looked up.
type Looked = model_runtime::Result<Option<Option<u64>>>;

/// What a build does with its model.
trait Program: SentryModel {
    fn look<C: Link>(db: &mut Session<'_, C>, row: u8, rng: &mut Rng) -> Looked
    where
        Self: ModelSql<C::Backend>;

    /// Stores the row with this number, or deletes it; returns whether it is there now.
    fn change<C: Link>(db: &mut Session<'_, C>, row: u8, v: i32, delete: bool) -> model_runtime::Result<bool>
    where
        Self: ModelSql<C::Backend>;
}

builds! {
    /// Not cached.
    OldRows database
    /// Its writes tell.
    WriteOnlyRows #[cache_fields(slug, name = "Rollout", phase = "write-only")] cache
    /// Cached.
    OnRows #[cache_fields(slug, name = "Rollout")] cache
    /// Cached, but not absence.
    OldNegative #[cache_fields(slug, name = "Rollout")] cache
    /// Its inserts tell.
    WriteOnlyNegative
        #[cache_fields(slug, name = "Rollout", negative = "5m", negative_phase = "write-only")] cache
    /// Absence is cached.
    OnNegative #[cache_fields(slug, name = "Rollout", negative = "5m")] cache
}

/// What a process is told, as arguments of its command line.
#[derive(Debug, Clone, Args)]
pub struct Hand {
    /// Which database.
    #[arg(long)]
    pub database: Database,
    /// Its address.
    #[arg(long)]
    pub url: String,
    /// What each connection runs first.
    #[arg(long)]
    pub setup: String,
    /// The address of Redis.
    #[arg(long)]
    pub redis: String,
    /// Where to log.
    #[arg(long)]
    pub log: PathBuf,
    /// Where the choices begin.
    #[arg(long)]
    pub seed: u64,
    /// What is turned on.
    #[arg(long)]
    pub turned: Turned,
    /// Which build it is.
    #[arg(long)]
    pub build: Build,
}

impl Hand {
    /// As arguments of a command line.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        let Self { database, url, setup, redis, log, seed, turned, build } = self;
        let named = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let mut out: Vec<OsString> = vec!["--log".into(), log.into()];
        for (name, value) in [
            ("--database", database.name().to_owned()),
            ("--url", url.clone()),
            ("--setup", setup.clone()),
            ("--redis", redis.clone()),
            ("--seed", seed.to_string()),
            ("--turned", named(turned.to_possible_value())),
            ("--build", named(build.to_possible_value())),
        ] {
            out.extend([name.into(), value.into()]);
        }
        out
    }
}

/// The store of the run.
///
/// # Errors
/// Where its address is none.
pub fn store(hand: &Hand) -> model_runtime::Result<Arc<dyn Store>> {
    Ok(Arc::new(RedisStore::new(&hand.redis, PATIENCE, PATIENCE, Duration::ZERO)?))
}

fn slug(row: u8) -> String {
    format!("row-{row}")
}

/// No row has been changed.
///
/// # Errors
/// What the database says.
pub fn create_rows(hand: &Hand) -> Result<(), Box<dyn AnyError>> {
    match hand.database {
        Database::Sqlite => changes::<SqliteConnection>(hand).map(drop),
        Database::Postgres => changes::<PgConnection>(hand).map(drop),
        Database::Mysql => changes::<MysqlConnection>(hand).map(drop),
    }
}

/// The numbers of the rows' changes, which are made where they are not there.
fn changes<C: Link>(hand: &Hand) -> Result<Vec<Tracked<Changes>>, Box<dyn AnyError>>
where
    Changes: ModelSql<C::Backend>,
{
    let (mut conn, cache) = (C::open(&hand.url, &hand.setup)?, Cache::memory());
    let mut db = Session::new(&mut conn, &cache);
    let load = |row: u8| {
        let row = Changes::get_or_create().id(i32::from(row)).defaults(|d| d.v(0));
        Ok(row.execute(&mut db)?.0)
    };
    (1..=ROWS).map(load).collect()
}

/// Works until the input ends.
///
/// # Errors
/// Where something fails that is not under test.
pub fn run(hand: &Hand) -> Result<(), Box<dyn AnyError>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match hand.database {
        Database::Sqlite => work_on::<SqliteConnection>(hand),
        Database::Postgres => work_on::<PgConnection>(hand),
        Database::Mysql => work_on::<MysqlConnection>(hand),
    }
}

fn work_on<C: Link>(hand: &Hand) -> Result<(), Box<dyn AnyError>>
where
    Changes: ModelSql<C::Backend>,
    OldRows: ModelSql<C::Backend>,
    WriteOnlyRows: ModelSql<C::Backend>,
    OnRows: ModelSql<C::Backend>,
    OldNegative: ModelSql<C::Backend>,
    WriteOnlyNegative: ModelSql<C::Backend>,
    OnNegative: ModelSql<C::Backend>,
{
    match (hand.turned, hand.build) {
        (Turned::Rows, Build::Old) => work::<C, OldRows>(hand),
        (Turned::Rows, Build::WriteOnly) => work::<C, WriteOnlyRows>(hand),
        (Turned::Rows, Build::On) => work::<C, OnRows>(hand),
        (Turned::Negative, Build::Old) => work::<C, OldNegative>(hand),
        (Turned::Negative, Build::WriteOnly) => work::<C, WriteOnlyNegative>(hand),
        (Turned::Negative, Build::On) => work::<C, OnNegative>(hand),
    }
}

fn work<C: Link, M: Program + ModelSql<C::Backend>>(hand: &Hand) -> Result<(), Box<dyn AnyError>>
where
    Changes: ModelSql<C::Backend>,
{
    let over = Arc::new(AtomicBool::new(false));
    let ended = over.clone();
    std::thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Relaxed);
    });
    let mut changes = changes::<C>(hand)?;
    let cache = Cache::builder().store(store(hand)?).build()?;
    let mut conn = C::open(&hand.url, &hand.setup)?;
    let (mut rng, mut log) = (Rng::with_seed(hand.seed), String::new());
    while !over.load(Ordering::Relaxed) {
        let (row, begin) = (rng.u8(1..=ROWS), now());
        let mut db = Session::new(&mut conn, &cache);
        let what = match rng.u32(..100) < WRITES {
            true => change::<C, M>(&mut db, &mut changes[usize::from(row) - 1], rng.bool()),
            false => M::look(&mut db, row, &mut rng)
                .map(|found| found.map(|found| found.map_or(What::Nothing, What::Found))),
        };
        match what {
            Ok(what) => {
                let event = |what| Event { row, time: (begin, now()), what };
                log.extend(what.map(|what| event(what).line()));
            }
            // Nothing was committed: locks, and SQLite's file.
            Err(_) => conn = C::open(&hand.url, &hand.setup)?,
        }
    }
    cache.drain(PATIENCE)?;
    let stats = cache.stats();
    let mut file = File::create(&hand.log)?;
    file.write_all(log.as_bytes())?;
    Ok(writeln!(file, "hits {}", stats.hits + stats.negative_hits)?)
}

/// One change of a row, with the next number.
fn change<C: Link, M: Program + ModelSql<C::Backend>>(
    db: &mut Session<'_, C>,
    number: &mut Tracked<Changes>,
    delete: bool,
) -> model_runtime::Result<Option<What>>
where
    Changes: ModelSql<C::Backend>,
{
    let row = u8::try_from(number.id).unwrap();
    db.transaction(|db| {
        // Before anything is read: whoever changes the row next waits here.
        number.update().v(F(rollout_changes::v) + 1).execute(db)?;
        let v = u64::try_from(number.v).unwrap();
        let is_there = M::change(db, row, number.v, delete)?;
        Ok(Some(if is_there { What::Stored(v) } else { What::Deleted(v) }))
    })
}
