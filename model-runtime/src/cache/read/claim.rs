//! Taking the leases of what a lookup found vacant.
use super::{Grant, Lease, Sought, Vacancy};
use crate::cache::codec::CacheSpec;
use crate::cache::entry::{self, Epoch, Token, new_token};
use crate::cache::phase::Rules;
use crate::cache::protocol::{self, Command, Reply, Sight};
use crate::engine::Executor;
use crate::model::{ModelState, SentryModel};
use crate::store::Answer;
use std::time::Instant;

/// Turns what is open into leases, in one round trip; without anything open, in none.
pub(crate) async fn claim<M: SentryModel, S: Executor>(
    db: &mut S,
    spec: &'static CacheSpec<M>,
    found: &mut [Sought<M>],
) {
    let mut claims = Vec::new();
    for (place, sought) in found.iter_mut().enumerate() {
        let Sought::Open { row, pointer } = sought else { continue };
        claims.extend(row.take().map(|vacancy| Claim::new(place, Of::Row, vacancy)));
        claims.extend(pointer.take().map(|vacancy| Claim::new(place, Of::Pointer, vacancy)));
        *sought = Sought::Granted(Grant::default());
    }
    if claims.is_empty() {
        return;
    }
    let lease_ms = db.cache().config().lease_ms;
    let commands: Vec<_> = claims.iter().map(|claim| claim.command(lease_ms)).collect();
    let answer = db.store(&commands).await;
    let Ok(Answer { epoch, quarantined: false, replies, .. }) = answer else {
        return claims.iter().for_each(|claim| found[claim.place] = Sought::Bypass);
    };
    let rules = db.cache().rules(spec);
    for (claim, reply) in claims.into_iter().zip(replies) {
        let (place, of) = (claim.place, claim.of);
        match (claim.settle(spec, rules, &reply, epoch), &mut found[place]) {
            (Settled::Granted(lease), Sought::Granted(grant)) => match of {
                Of::Row => grant.row = Some(lease),
                Of::Pointer => grant.pointer = Some(lease),
            },
            (Settled::Granted(_), _) => {}
            // Another reader filled it between the look and the claim.
            (Settled::Row(row), sought) => *sought = Sought::Hit(row),
            (Settled::Absent, sought) => *sought = Sought::Absent,
            (Settled::Refused, sought) => *sought = Sought::Bypass,
        }
    }
}

/// Which of a lookup's entries.
#[derive(Clone, Copy)]
enum Of {
    Row,
    Pointer,
}

/// An entry whose lease is asked for.
struct Claim {
    place: usize,
    of: Of,
    vacancy: Vacancy,
    token: Token,
}

enum Settled<M> {
    Granted(Lease),
    Row(M),
    Absent,
    Refused,
}

impl Claim {
    fn new(place: usize, of: Of, vacancy: Vacancy) -> Self {
        Self { place, of, vacancy, token: new_token() }
    }

    fn command(&self, ttl_ms: u64) -> Command {
        let (key, token) = (self.vacancy.key.clone(), self.token);
        match &self.vacancy.expect {
            None => Command::Lease { key, token, ttl_ms },
            // An entry that is of no use is replaced by the lease, if it still stands there.
            Some(expect) => Command::Swap { key, expect: expect.clone(), new: entry::lease(token), ttl_ms },
        }
    }

    fn settle<M: SentryModel>(
        self,
        spec: &CacheSpec<M>,
        rules: Rules,
        reply: &Reply,
        epoch: Epoch,
    ) -> Settled<M> {
        let granted = match reply {
            Reply::Done(done) => *done,
            Reply::Entry(previous) => {
                let fingerprint = ModelState::fingerprint::<M>();
                match protocol::after_lease(previous.as_deref(), &self.token, epoch, fingerprint) {
                    Sight::Vacant => true,
                    Sight::Hit { payload, .. } => {
                        return spec.decoded(payload).map_or(Settled::Refused, Settled::Row);
                    }
                    Sight::Absent if rules.absences => return Settled::Absent,
                    Sight::Absent | Sight::Replace { .. } | Sight::Busy => false,
                }
            }
            Reply::Pair { .. } | Reply::Page { .. } => false,
        };
        match granted {
            true => Settled::Granted(Lease {
                key: self.vacancy.key,
                expect: entry::lease(self.token),
                epoch,
                granted: Instant::now(),
            }),
            false => Settled::Refused,
        }
    }
}
