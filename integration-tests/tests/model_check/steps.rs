//! What writers, readers and the world may do, and what it does to the slot.
use crate::variant::Variant;
use crate::world::{Begun, LIFETIME, Reader, Rules, Step, World, Writer, deadlines, live, slot_of, value};
use model_runtime::cache::entry::{self, HEADER};
use model_runtime::cache::protocol::{self, Sight, Slot};

impl Rules {
    pub(crate) fn steps_of_writer(&self, world: &World, writer: usize, state: Writer, out: &mut Vec<Step>) {
        let (free, statement) = (world.lock.is_none(), Self::is_statement(writer));
        let may_commit = !statement || free;
        match state {
            Writer::Idle => {
                if self.variant.has_intents() || self.variant == Variant::DoubleDelete || free {
                    // A transaction locks the row first, a statement announces itself first.
                    if statement || free {
                        out.push(Step::Write(writer));
                    }
                }
            }
            Writer::Placed => {
                if may_commit {
                    out.push(Step::Write(writer));
                    if world.budgets.unknown > 0 {
                        out.push(Step::LoseAnswer(writer));
                    }
                }
                out.push(Step::RollBack(writer));
            }
            Writer::Executed => out.extend([Step::Write(writer), Step::RollBack(writer)]),
            Writer::Committed(_) | Writer::RolledBack => out.push(Step::Write(writer)),
            Writer::Gone | Writer::Done => return,
        }
        if world.budgets.crashes > 0 && state != Writer::Idle {
            out.push(Step::Crash(writer));
        }
    }

    pub(crate) fn steps_of_the_world(world: &World, out: &mut Vec<Step>) {
        if world.lock.is_some_and(|holder| world.writers[holder] == Writer::Gone) {
            out.extend([Step::ServerCommits, Step::ServerAborts]);
        }
        if let Some(slot) = live(world)
            && let Some((owner, _)) = deadlines(&slot).into_iter().min_by_key(|(_, deadline)| *deadline)
        {
            let at_work = owner.is_some_and(|owner| world.is_at_work(owner));
            if !at_work || world.budgets.overlong > 0 {
                out.push(Step::Expire);
            }
        }
        if world.budgets.losses > 0 && world.slot.is_some() {
            out.push(Step::Lose);
        }
        if world.budgets.failovers > 0 {
            if world.copy != world.slot {
                out.push(Step::Replicate);
            }
            out.push(Step::FailOver);
        }
        let old = |writer: &usize| world.old >> writer & 1 == 1 && world.is_at_work(*writer);
        if world.quarantined && !(0..world.writers.len()).any(|writer| old(&writer)) {
            out.push(Step::EndQuarantine);
        }
    }

    /// Everything is quiet: what a reader would be served is what is committed.
    pub(crate) fn is_healed(&self, world: &World) -> bool {
        let busy = (0..world.writers.len()).any(|writer| world.is_at_work(writer));
        busy || match self.look(world) {
            Some(Sight::Hit { payload, .. }) => payload == [world.committed],
            _ => true,
        }
    }

    pub(crate) fn write(&self, world: &mut World, writer: usize) {
        let statement = Self::is_statement(writer);
        world.writers[writer] = match world.writers[writer] {
            Writer::Idle if !statement => {
                world.lock = Some(writer);
                Writer::Executed
            }
            Writer::Idle | Writer::Executed if self.variant.has_intents() => {
                self.place(world, writer);
                Writer::Placed
            }
            Writer::Idle | Writer::Executed if self.variant == Variant::DoubleDelete => {
                world.slot = None;
                Writer::Placed
            }
            Writer::Idle | Writer::Executed | Writer::Placed => {
                let version = world.commit(writer);
                if self.variant == Variant::ReleaseNotAwaited {
                    world.acknowledged = world.acknowledged.max(version);
                }
                Writer::Committed(version)
            }
            Writer::Committed(version) => {
                self.release(world, writer);
                world.acknowledged = world.acknowledged.max(version);
                Writer::Done
            }
            Writer::RolledBack => {
                self.release(world, writer);
                Writer::Done
            }
            state @ (Writer::Gone | Writer::Done) => state,
        };
    }

    fn place(&self, world: &mut World, writer: usize) {
        // Deadlines differ, so that they pass one by one; time itself passes only where it is let, else a later intent
        // could outlast one that its writer still counts on.
        world.placed += 1;
        let before = match self.variant {
            Variant::SingleToken => None,
            _ => slot_of(world.slot.as_ref()),
        };
        let placed = protocol::place(before, Self::token(writer), LIFETIME + world.placed, world.now);
        world.put(Some(placed));
    }

    fn release(&self, world: &mut World, writer: usize) {
        let slot = live(world);
        let is_intent = slot.as_ref().is_some_and(|slot| slot.bytes.first() == Some(&b'W'));
        let left = match self.variant {
            Variant::CacheAside | Variant::DoubleDelete | Variant::LeaseAndDelete => None,
            Variant::ReleaseWithoutHealing if !is_intent => slot,
            _ => protocol::release(slot, Self::token(writer), world.now).0,
        };
        world.put(left);
    }

    pub(crate) fn read(&self, world: &mut World, reader: usize) {
        world.readers[reader] = match world.readers[reader] {
            Reader::Idle => {
                world.left[reader] -= 1;
                self.begin(world)
            }
            Reader::Bypassing(begun) => {
                world.returned(world.committed, begun);
                Reader::Idle
            }
            Reader::Missed(begun) => match self.claim(world, reader, begun) {
                Some(epoch) => Reader::Leased(begun, epoch),
                None => Reader::Bypassing(begun),
            },
            Reader::Leased(begun, epoch) => {
                world.returned(world.committed, begun);
                Reader::Loaded(world.committed, epoch)
            }
            Reader::Selected(version) => match self.claim(world, reader, world.begun()) {
                Some(epoch) => Reader::Loaded(version, epoch),
                None => Reader::Idle,
            },
            Reader::Loaded(version, epoch) => {
                self.fill(world, reader, version, epoch);
                Reader::Idle
            }
        };
    }

    fn begin(&self, world: &mut World) -> Reader {
        let begun = world.begun();
        match self.look(world) {
            Some(Sight::Hit { payload, .. }) => {
                world.returned(payload.first().copied().unwrap_or(0), begun);
                Reader::Idle
            }
            _ if !self.variant.has_leases() => Reader::Leased(begun, world.epoch),
            Some(Sight::Busy | Sight::Absent) => Reader::Bypassing(begun),
            None | Some(Sight::Vacant | Sight::Replace { .. })
                if self.variant == Variant::SelectBeforeLease =>
            {
                world.returned(world.committed, begun);
                Reader::Selected(world.committed)
            }
            None | Some(Sight::Vacant | Sight::Replace { .. }) => Reader::Missed(begun),
        }
    }

    /// The epoch of the lease, if it is granted.
    fn claim(&self, world: &mut World, reader: usize, begun: Begun) -> Option<u64> {
        if world.quarantined {
            return None;
        }
        let (token, slot) = (Self::lease_of(reader, world.left[reader]), live(world));
        let granted = match self.look(world) {
            None => {
                let (leased, stood) = protocol::lease(slot, token, LIFETIME, world.now);
                world.put(leased);
                stood.is_none()
            }
            Some(Sight::Replace { expect }) => {
                debug_assert!(expect.len() <= HEADER);
                let (left, done) = protocol::swap(slot, &expect, entry::lease(token), LIFETIME, world.now);
                world.put(left);
                done
            }
            _ => false,
        };
        let _ = begun;
        granted.then_some(world.epoch)
    }

    fn fill(&self, world: &mut World, reader: usize, version: u8, leased_in: u64) {
        let token = Self::lease_of(reader, world.left[reader]);
        let epoch = if self.variant == Variant::EpochAtFill { world.epoch } else { leased_in };
        let (slot, new) = (live(world), value(version, epoch, token));
        let left = match self.variant {
            Variant::FillWithoutLease | Variant::CacheAside | Variant::DoubleDelete => {
                Some(Slot { bytes: new, expires_at: world.now + LIFETIME })
            }
            _ => protocol::swap(slot, &entry::lease(token), new, LIFETIME, world.now).0,
        };
        world.put(left);
    }
}
