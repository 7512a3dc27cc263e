//! A rolling deploy that turns a cache on: processes of several builds of one program write and read the same rows, and
//! are replaced one by one.
//!
//! | question | file |
//! | --- | --- |
//! | what may a read return? | `check` |
//! | which builds are there, and what does a process of one do? | `builds` |
//! | in which order are they replaced? | this one |
pub mod builds;
pub mod check;

use super::link::Database;
use crate::databases;
use crate::stores;
use builds::{Build, Hand, OnRows, SCHEMA, Turned, create_rows, store};
use check::{Event, stale};
use clap::{Args, ValueEnum};
use model_runtime::Cache;
use std::error::Error as AnyError;
use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Processes at a time.
const PROCESSES: usize = 4;
/// Between two replacements, and before the next deploy begins.
const PAUSE: Duration = Duration::from_millis(100);
/// A watchdog, not a measurement: a process that ends so late hangs.
const HANGS: Duration = Duration::from_secs(60);

/// In which order builds replace each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plan {
    /// Write-only and then on; back in the reverse order; and there again, with a clear between
    TwoDeploys,
    /// On at once
    OneDeploy,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Deploy(Build),
    Clear,
}

impl Plan {
    fn actions(self) -> Vec<Action> {
        use Action::{Clear, Deploy};
        let (old, write_only, on) = (Deploy(Build::Old), Deploy(Build::WriteOnly), Deploy(Build::On));
        match self {
            Self::TwoDeploys => vec![write_only, on, write_only, old, write_only, Clear, on],
            Self::OneDeploy => vec![on],
        }
    }
}

/// What is deployed, and how.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which database; each of them unless told
    #[arg(long)]
    pub database: Option<Database>,
    /// What the new builds turn on; each of them unless told
    #[arg(long)]
    pub turned: Option<Turned>,
    /// In which order builds replace each other
    #[arg(long, default_value = "two-deploys")]
    pub plan: Plan,
    /// How many milliseconds two builds work beside each other, when half of the processes are replaced
    #[arg(long, default_value_t = 300)]
    pub beside: u64,
    /// Where the choices begin
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Lookups.
    pub reads: usize,
    /// Those that the cache answered.
    pub hits: u64,
    /// Changes that were committed.
    pub writes: usize,
    /// What no read may return.
    pub stale: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, hits, writes, stale } = self;
        write!(f, "{reads} reads, {hits} hits, {writes} writes, {} stale", stale.len())
    }
}

/// Runs on one database.
///
/// # Errors
/// Where something fails that is not under test.
pub fn run(database: Database, turned: Turned, options: &Options) -> Result<Report, Box<dyn AnyError>> {
    let folder = TempDir::new()?;
    let hand = |(url, setup): (String, String)| {
        let (redis, log, seed) = (stores::redis_url(), folder.path().join("log"), options.seed);
        Hand { database, url, setup, redis, log, seed, turned, build: Build::Old }
    };
    match database {
        Database::Sqlite => {
            let place = databases::sqlite(SCHEMA);
            deploy_all(hand(place.url_and_setup()), options, folder.path())
        }
        Database::Postgres => {
            let place = databases::postgres(SCHEMA);
            deploy_all(hand(place.url_and_setup()), options, folder.path())
        }
        Database::Mysql => {
            let place = databases::mysql(SCHEMA);
            deploy_all(hand(place.url_and_setup()), options, folder.path())
        }
    }
}

fn deploy_all(hand: Hand, options: &Options, folder: &Path) -> Result<Report, Box<dyn AnyError>> {
    create_rows(&hand)?;
    let mut fleet = Fleet { hand, folder, started: 0, running: Vec::new() };
    for _ in 0..PROCESSES {
        let process = fleet.start()?;
        fleet.running.push(process);
    }
    for action in options.plan.actions() {
        sleep(PAUSE * 2);
        match action {
            Action::Deploy(build) => fleet.deploy(build, Duration::from_millis(options.beside))?,
            Action::Clear => {
                Cache::builder().store(store(&fleet.hand)?).build()?.clear::<OnRows>()?;
            }
        }
    }
    sleep(PAUSE * 4);
    fleet.report()
}

/// The processes of the program.
struct Fleet<'f> {
    hand: Hand,
    folder: &'f Path,
    started: u64,
    running: Vec<Child>,
}

impl Fleet<'_> {
    /// Replaces the processes one by one.
    fn deploy(&mut self, build: Build, beside: Duration) -> Result<(), Box<dyn AnyError>> {
        self.hand.build = build;
        for place in 0..PROCESSES {
            stop(&mut self.running[place])?;
            self.running[place] = self.start()?;
            sleep(if place + 1 == PROCESSES / 2 { beside } else { PAUSE });
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Child, Box<dyn AnyError>> {
        self.started += 1;
        let log = self.folder.join(format!("log-{}", self.started));
        let seed = self.hand.seed.wrapping_mul(1_000_003).wrapping_add(self.started);
        let hand = Hand { log, seed, ..self.hand.clone() };
        let mut command = Command::new(std::env::current_exe()?);
        Ok(command.arg("hand").args(hand.to_args()).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?)
    }

    fn report(mut self) -> Result<Report, Box<dyn AnyError>> {
        for process in &mut self.running {
            stop(process)?;
        }
        let (mut report, mut events) = (Report::default(), Vec::new());
        for number in 1..=self.started {
            for line in std::fs::read_to_string(self.folder.join(format!("log-{number}")))?.lines() {
                match line.strip_prefix("hits ") {
                    Some(hits) => report.hits += hits.parse::<u64>()?,
                    None => events.push(line.parse::<Event>()?),
                }
            }
        }
        report.writes = events.iter().filter(|event| event.is_write()).count();
        report.reads = events.len() - report.writes;
        report.stale = stale(&events);
        Ok(report)
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for process in &mut self.running {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Ends its input, and waits until it has ended.
fn stop(process: &mut Child) -> Result<(), Box<dyn AnyError>> {
    drop(process.stdin.take());
    let begun = Instant::now();
    loop {
        match process.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("a process failed: {status}").into()),
            None if begun.elapsed() > HANGS => return Err("a process hangs".into()),
            None => sleep(Duration::from_millis(2)),
        }
    }
}
