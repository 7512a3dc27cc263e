//! What the behaviour tests share: real databases, real stores, and ways to count, to interleave and to attack.
//!
//! Tests run by themselves in any order and in parallel: each has a schema, a key space and servers of its own.
#![allow(clippy::missing_panics_doc, reason = "every function here panics where a test must stop")]

pub mod count;
pub mod databases;
pub mod history;
pub mod interleave;
mod matrix;
pub mod models;
pub mod servers;
pub mod stores;
