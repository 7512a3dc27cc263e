//! Processes that read and write the same rows through one cache while faults strike them, and a checker of what
//! they saw.
//!
//! | question | file |
//! | --- | --- |
//! | what was seen, and when? | `event` |
//! | what does the database say was written? | `ledger` |
//! | what may a read return, what must a write have left? | `check` |
//! | when does the documentation allow a stale hit? | `exposure` |
//! | which faults are there, how do they strike? | `fault`, `store` |
//! | which operations are there, how are they run? | `plan`, `steps`, `trial` |
//! | what does a process do? | `worker`, `desk`, `orders`, `link`, `model` |
//! | who starts, stops and revives the processes? | `crew` |
//! | what is a run? | `driver`, `report` |
//! | a cache that is turned on while processes run | `rollout` |
pub mod check;
pub mod crew;
pub mod desk;
pub mod driver;
pub mod event;
pub mod exposure;
pub mod fault;
pub mod ledger;
pub mod link;
pub mod model;
pub mod orders;
pub mod plan;
pub mod report;
pub mod rollout;
mod steps;
pub mod store;
pub mod trial;
pub mod worker;

use std::time::Duration;

/// Short, so that a fault that outlasts it is quick.
pub const INTENT_LIFETIME: Duration = Duration::from_millis(500);
/// Shorter still: a reader that stands still loses its lease before writers lose their intents.
pub const LEASE: Duration = Duration::from_millis(200);
/// Few, so that readers and writers meet.
pub const ROWS: u8 = 6;
/// Rows whose keys change.
pub const PARTS: u8 = 4;
/// Processes at a time.
pub const PROCESSES: usize = 4;
/// Threads of each: one on a sync connection, one on an async one.
pub const THREADS: u8 = 2;
