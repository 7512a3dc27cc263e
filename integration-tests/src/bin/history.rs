//! Attacks the cache from several processes, and checks everything that they saw.
use clap::{Args, Parser, Subcommand};
use integration_tests::history::crew;
use integration_tests::history::driver::{self, Options};
use integration_tests::history::link::Database;
use integration_tests::history::orders::Orders;
use integration_tests::history::rollout;
use integration_tests::history::rollout::builds::{self, Hand, Turned};
use integration_tests::history::worker;
use std::ffi::OsString;
use std::process::ExitCode;

/// Reads and writes the same few rows from several processes through one cache, while workers are killed, stopped and
/// cut off at every step of the protocol and Redis loses its data. Operations fail halfway and go on, are dropped at any
/// await, panic in callbacks, run at every isolation level, write by subqueries and exchange keys.
///
/// Checks each read: none may return less than what had been written or read before it began, outside the bounds that
/// `docs/protocol.md` names. And each write, by a ledger that triggers keep in the database: what returned success is
/// there, and what was refused or rolled back is not.
///
/// The servers' addresses come from the environment:
///
/// integration-tests/run -- cargo run --release -p integration-tests --bin history -- --reads 10000000 --faults 500
///
/// Exits with 0 where no read was stale, no write lost and none there that was refused; with 1 and what was found
/// otherwise; with 2 where the run itself failed.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
struct Command {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Replaces the builds of a program one by one, so that a cache is turned on, while all of them work
    Rollout(rollout::Options),
    /// One of the processes of such a program
    #[command(hide = true)]
    Hand(Hand),
    /// One of the processes
    #[command(hide = true)]
    Worker(Worker),
    /// Any command, which ends with the process that started it
    #[command(hide = true)]
    Mortal {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct Worker {
    #[command(flatten)]
    orders: Orders,
}

fn main() -> ExitCode {
    let Command { options, role } = Command::parse();
    match role {
        None => attack(&options),
        Some(Role::Worker(Worker { orders })) => {
            worker::run(&orders);
            ExitCode::SUCCESS
        }
        Some(Role::Rollout(options)) => roll_out(&options),
        Some(Role::Hand(hand)) => match builds::run(&hand) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(2)
            }
        },
        Some(Role::Mortal { command }) => {
            eprintln!("error: {}", crew::become_mortal(&command));
            ExitCode::from(2)
        }
    }
}

fn attack(options: &Options) -> ExitCode {
    let databases = options.database.as_ref().map_or(Database::ALL, std::slice::from_ref);
    let (mut reads, mut faults, mut panics, mut found) = (0, 0, 0, [0; 3]);
    for database in databases {
        let tally = match driver::run(*database, options) {
            Ok(tally) => tally,
            Err(error) => {
                eprintln!("error: {}: {error}", database.name());
                return ExitCode::from(2);
            }
        };
        for (count, kind) in found.iter_mut().zip([&tally.stale, &tally.lost, &tally.phantom]) {
            *count += kind.len();
            // Where there is one, there are thousands.
            kind.iter().take(3).for_each(|finding| println!("{finding}"));
        }
        println!("{tally}");
        (reads, faults) = (reads + tally.reads, faults + tally.fault_count());
        panics += tally.panics();
    }
    let [stale, lost, phantom] = found;
    println!(
        "{reads} reads, {faults} faults, {panics} panics, {lost} lost writes, {phantom} phantom writes, {stale} stale"
    );
    if found == [0; 3] && panics == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn roll_out(options: &rollout::Options) -> ExitCode {
    let databases = options.database.as_ref().map_or(Database::ALL, std::slice::from_ref);
    let all = [Turned::Rows, Turned::Negative];
    let turned = options.turned.as_ref().map_or(all.as_slice(), std::slice::from_ref);
    let mut stale = 0;
    for (database, turned) in databases.iter().flat_map(|it| turned.iter().map(move |turned| (*it, *turned)))
    {
        match rollout::run(database, turned, options) {
            Ok(report) => {
                report.stale.iter().take(3).for_each(|found| println!("{found}"));
                println!("{}, {turned:?}: {report}", database.name());
                stale += report.stale.len();
            }
            Err(error) => {
                eprintln!("error: {}: {error}", database.name());
                return ExitCode::from(2);
            }
        }
    }
    println!("{stale} stale");
    if stale == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
