//! What an operation does: chosen at random, the same on every connection.
use super::trial::{Callback, Limit};
use super::{PARTS, ROWS};
use fastrand::Rng;
use std::time::Duration;

/// One call, or a few that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `update` of an instance.
    Update(u8),
    /// `update_where` of a row.
    UpdateWhere(u8),
    /// `create_or_update` of a row.
    Upsert(u8),
    /// `create_or_update` of a row that is not there, in whose insert a hook panics.
    UpsertGhost,
    /// `update_where` of the rows that another table names.
    UpdatePicked,
    /// Another table names another row.
    Pick(u8, u8, u8),
    /// A bound refuses some rows of `update_where`.
    TakeRoom,
    /// A unique key refuses `create`.
    CreateTwice(u8),
    /// A statement of plain Diesel fails, and nobody is told.
    FailUnseen,
    /// The same; on SQLite it rolls the transaction back.
    RollBackUnseen,
    /// A lookup in the transaction.
    Look(u8),
    /// `update` of a part; of a fresh instance, or of one from long ago.
    PartUpdate(u8, Age),
    /// `update_where` of a part.
    PartUpdateWhere(u8),
    /// The other spelling of its code, by `save`.
    PartRename(u8, Age),
    /// Two parts exchange their slugs.
    PartSwapSlugs(u8, u8),
    /// Two parts exchange their codes.
    PartSwapCodes(u8, u8),
    /// `delete` of a part.
    PartDelete(u8),
    /// `delete_where` of the parts that another table names.
    PartDeletePicked,
    /// `create` of a part.
    PartCreate(u8, u8),
    /// `save` of an instance whose last `save` came to nothing, or to nobody knows what.
    PartSaveAgain,
}

/// Which instance writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It was just looked up.
    Fresh,
    /// Others may have written since.
    Old,
}

/// What becomes of a step's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// The transaction ends with it.
    Return,
    /// The transaction goes on.
    Swallow,
    /// It ends a savepoint; the transaction goes on.
    Savepoint,
    /// The savepoint is rolled back anyhow; the transaction goes on.
    Undo,
}

/// How the closure of a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With `Ok`.
    Commit,
    /// With an error.
    RollBack,
    /// With a panic.
    Panic,
}

/// An operation that writes.
#[derive(Debug, Clone)]
pub enum Plan {
    /// One step outside a transaction.
    Alone(Step),
    /// Steps in a transaction.
    Transaction(Vec<(Step, Handling)>, Ending),
}

fn two(rng: &mut Rng, of: u8) -> (u8, u8) {
    let one = rng.u8(..of);
    (one, (one + rng.u8(1..of)) % of)
}

fn history_step(rng: &mut Rng) -> Step {
    let row = rng.u8(..ROWS);
    match rng.u8(..40) / 2 {
        0 if rng.bool() => Step::UpsertGhost,
        0..=8 => Step::Update(row),
        9..=11 => Step::UpdateWhere(row),
        12 | 13 => Step::Upsert(row),
        14 | 15 => Step::UpdatePicked,
        16 => Step::Pick(rng.u8(..2), row, rng.u8(..PARTS)),
        17 => Step::TakeRoom,
        18 => Step::CreateTwice(row),
        _ => Step::Look(row),
    }
}

fn part_step(rng: &mut Rng) -> Step {
    let part = rng.u8(..PARTS);
    let age = if rng.bool() { Age::Fresh } else { Age::Old };
    let (one, other) = two(rng, PARTS);
    match rng.u8(..16) {
        0..=2 => Step::PartUpdate(part, age),
        3 | 4 => Step::PartUpdateWhere(part),
        5..=7 => Step::PartRename(part, age),
        8 => Step::PartSwapSlugs(one, other),
        9 => Step::PartSwapCodes(one, other),
        10 if rng.bool() => Step::PartDelete(part),
        10 => Step::PartDeletePicked,
        _ => Step::PartCreate(part, rng.u8(..PARTS)),
    }
}

fn step(rng: &mut Rng) -> Step {
    if rng.u8(..4) == 0 { part_step(rng) } else { history_step(rng) }
}

fn handling(rng: &mut Rng) -> Handling {
    match rng.u8(..8) {
        0..=2 => Handling::Return,
        3 | 4 => Handling::Swallow,
        5 | 6 => Handling::Savepoint,
        _ => Handling::Undo,
    }
}

impl Plan {
    /// Any.
    #[must_use]
    pub fn any(rng: &mut Rng) -> Self {
        if rng.bool() {
            return Self::Alone(step(rng));
        }
        let mut steps: Vec<_> = (0..rng.u8(1..4)).map(|_| (step(rng), handling(rng))).collect();
        if rng.u8(..6) == 0 {
            let unseen = if rng.bool() { Step::FailUnseen } else { Step::RollBackUnseen };
            steps.insert(rng.usize(..=steps.len()), (unseen, Handling::Return));
        }
        let ending = match rng.u8(..10) {
            0..=7 => Ending::Commit,
            8 => Ending::RollBack,
            _ => Ending::Panic,
        };
        Self::Transaction(steps, ending)
    }
}

/// A callback that is to panic, seldom.
pub(super) fn callback(rng: &mut Rng) -> Option<Callback> {
    match rng.u8(..40) {
        0 | 1 => Some(Callback::BeforeWrite),
        2 => Some(Callback::AfterCommit),
        _ => None,
    }
}

/// When a write is dropped, if it is.
pub(super) fn limit_of_write(rng: &mut Rng, plan: &Plan) -> Option<Limit> {
    // Outside a transaction no session knows of what plain Diesel leaves on the wire.
    let unseen = matches!(plan, Plan::Alone(Step::Pick(..) | Step::FailUnseen | Step::RollBackUnseen));
    (!unseen && rng.u8(..8) == 0).then(|| limit(rng, 24, 4000))
}

/// When a lookup is dropped, if it is.
pub(super) fn limit_of_read(rng: &mut Rng) -> Option<Limit> {
    (rng.u16(..1000) == 0).then(|| limit(rng, 6, 600))
}

fn limit(rng: &mut Rng, polls: u32, micros: u64) -> Limit {
    match rng.bool() {
        true => Limit::Polls(rng.u32(1..=polls)),
        false => Limit::Time(Duration::from_micros(rng.u64(..micros))),
    }
}
