//! Groups 24,634 real change events by path: per event a cached lookup, an upsert and a cached lookup that must
//! show it; checked against an oracle at the end.
//!
//! `cargo run --release -p model-runtime --example ingest -- --help`
#![allow(missing_docs, reason = "an example")]
mod arguments;
mod database;
mod events;
mod model;
mod oracle;
mod report;
mod work;

use clap::Parser;
use std::process::ExitCode;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &arguments::Arguments) -> Result<bool, Failure> {
    let events = events::read(&arguments.events)?;
    let expected = oracle::read(&arguments.groups)?;
    let cache = arguments.cache()?;
    let target = database::Target::prepare(arguments.database_url.as_deref())?;
    let outcome = work::ingest(&target, &cache, &events, arguments.threads.get());
    let differences = outcome.and_then(|outcome| {
        report::print(&outcome, &cache);
        Ok((work::differences(&target, &cache, &expected)?, outcome.stale))
    });
    target.remove()?;
    let (differences, stale) = differences?;
    Ok(report::verdict(&differences, stale, expected.len()))
}
