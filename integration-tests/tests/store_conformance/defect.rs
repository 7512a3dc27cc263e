//! Stores that are wrong in one way, which the suite and the sequences must find out.
use crate::suite::{LONG, done, get, release};
use model_runtime::cache::protocol::Command;
use model_runtime::store::{Answer, Store, StoreError};
use std::sync::Arc;

/// A store that is wrong in one way.
#[derive(Debug)]
pub(crate) struct Defective(pub(crate) Arc<dyn Store>, pub(crate) Defect);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Defect {
    ReleaseLeavesValues,
    FillsWithoutALease,
    IntentsOfOthersAreForgotten,
    PointersReplaceIntents,
}

impl Store for Defective {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let wrong = |command: &Command| match (self.1, command) {
            (Defect::ReleaseLeavesValues, Command::Release { key, .. })
                if get(&*self.0, key).is_some_and(|entry| entry.starts_with(b"V")) =>
            {
                // Answers as a release does, and leaves the value.
                Command::Swap {
                    key: key.clone(),
                    expect: b"V".into(),
                    new: get(&*self.0, key).unwrap(),
                    ttl_ms: LONG,
                }
            }
            (Defect::FillsWithoutALease, Command::Swap { key, new, ttl_ms, expect })
                if expect.starts_with(b"L") =>
            {
                let expect = get(&*self.0, key).unwrap_or_default();
                Command::Swap { key: key.clone(), expect, new: new.clone(), ttl_ms: *ttl_ms }
            }
            (Defect::IntentsOfOthersAreForgotten, Command::Place { key, token, lifetime_ms }) => {
                for owner in 0..=20 {
                    done(&*self.0, release(key, [owner; 16]));
                }
                Command::Place { key: key.clone(), token: *token, lifetime_ms: *lifetime_ms }
            }
            (Defect::PointersReplaceIntents, Command::Point { pointer, target, ttl_ms }) => {
                for owner in 0..=20 {
                    done(&*self.0, release(pointer, [owner; 16]));
                }
                Command::Point { pointer: pointer.clone(), target: target.clone(), ttl_ms: *ttl_ms }
            }
            _ => command.clone(),
        };
        let batch: Vec<_> = batch.iter().map(wrong).collect();
        self.0.call(&batch)
    }
}
