//! Promise: bytes from outside never panic and never take memory without bound; an entry that is no row is a miss.
mod dicts;
mod entries;
mod harm;
mod memory;
mod rows;
mod world;
