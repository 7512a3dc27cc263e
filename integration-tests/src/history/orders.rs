//! What a worker is told, as arguments of its command line.
use super::fault::Defect;
use super::link::Database;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// What a worker is told.
#[derive(Debug, Clone, Args)]
pub struct Orders {
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
    /// Where the marks of its writes begin, which no other process has.
    #[arg(long)]
    pub marks: i64,
    /// How probable a fault is at each operation.
    #[arg(long)]
    pub chance: f64,
    /// Whether the store loses what it holds meanwhile, so that no writer may die or lose an answer.
    #[arg(long)]
    pub lossy: bool,
    /// How to break the protocol.
    #[arg(long)]
    pub defect: Option<Defect>,
}

impl Orders {
    /// As arguments of a command line.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        let Self { database, url, setup, redis, log, seed, marks, chance, lossy, defect } = self;
        let mut out: Vec<OsString> = vec!["--database".into(), database.name().into()];
        for (name, value) in [("--url", url), ("--setup", setup), ("--redis", redis)] {
            out.extend([name.into(), value.into()]);
        }
        out.extend(["--log".into(), log.into(), "--seed".into(), seed.to_string().into()]);
        out.extend(["--marks".into(), marks.to_string().into()]);
        out.extend(["--chance".into(), chance.to_string().into()]);
        out.extend(lossy.then(|| "--lossy".into()));
        out.extend(defect.iter().flat_map(|defect| ["--defect".into(), defect.to_string().into()]));
        out
    }
}
