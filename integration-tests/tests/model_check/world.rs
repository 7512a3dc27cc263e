//! A row, its cache slot, and everybody who touches them, as a state machine.
use crate::variant::Variant;
use model_runtime::cache::entry::{self, Entry, Epoch, Meta, Token};
use model_runtime::cache::protocol::{self, Sight, Slot};
use stateright::{Model, Property};

/// How long intents and leases live: longer than all steps together, so that time passes only where it is let.
pub(crate) const LIFETIME: u64 = 1_000_000;
const START: u64 = 1_000_000_000_000;
const SCHEMA: u64 = 7;

/// Who is there, and what may go wrong how often.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) variant: Variant,
    pub(crate) writers: usize,
    /// How often each reader reads.
    pub(crate) reads: Vec<u8>,
    pub(crate) budgets: Budgets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budgets {
    /// Writers that die at any step.
    pub(crate) crashes: u8,
    /// Answers to COMMIT that are lost.
    pub(crate) unknown: u8,
    /// The slot is evicted or flushed.
    pub(crate) losses: u8,
    /// A live writer outlasts its intent.
    pub(crate) overlong: u8,
    /// An old copy of the slot takes over.
    pub(crate) failovers: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now: u64,
    /// How many intents were placed.
    pub(crate) placed: u64,
    /// The bytes under the key and when they expire.
    pub(crate) slot: Option<(Vec<u8>, u64)>,
    /// What a replica holds of it.
    pub(crate) copy: Option<(Vec<u8>, u64)>,
    pub(crate) epoch: u64,
    pub(crate) quarantined: bool,
    /// The version that is committed, and the highest that was acknowledged to anybody.
    pub(crate) committed: u8,
    pub(crate) acknowledged: u8,
    /// Who holds the row's lock with a write that is not committed.
    pub(crate) lock: Option<usize>,
    pub(crate) writers: Vec<Writer>,
    pub(crate) readers: Vec<Reader>,
    /// How many reads each reader has not begun.
    pub(crate) left: Vec<u8>,
    /// Writers, bit by bit, that were at work when the store's life began.
    pub(crate) old: u8,
    pub(crate) budgets: Budgets,
    pub(crate) broken: Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Broken {
    strong: bool,
    own: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Writer {
    Idle,
    /// Holds the lock; of a transaction, nothing is sent yet.
    Executed,
    /// The intent stands. A transaction holds the lock, a single statement does not yet.
    Placed,
    /// The version that it committed.
    Committed(u8),
    RolledBack,
    /// Dead, or without an answer to COMMIT; the server has its write or will abort it.
    Gone,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    Idle,
    /// It has begun, and asks the database without filling.
    Bypassing(Begun),
    /// It found nothing, or something of no use.
    Missed(Begun),
    /// It holds a lease, or thinks that it needs none.
    Leased(Begun, u64),
    /// It has returned a version, and will fill with it. The epoch is that of its lease.
    Loaded(u8, u64),
    /// As the variant that selects first: it has a version and wants a lease for it.
    Selected(u8),
}

/// What was committed and acknowledged when a read began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Begun {
    committed: u8,
    acknowledged: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The writer's next step.
    Write(usize),
    RollBack(usize),
    Crash(usize),
    /// COMMIT is sent and its answer lost.
    LoseAnswer(usize),
    /// What the server makes of the write of one who is gone.
    ServerCommits,
    ServerAborts,
    /// The reader's next step.
    Read(usize),
    /// The reader takes what the other one loaded.
    Join(usize, usize),
    /// Time passes to the next deadline in the slot.
    Expire,
    Lose,
    Replicate,
    FailOver,
    EndQuarantine,
}

impl Rules {
    pub(crate) fn token(writer: usize) -> Token {
        [u8::try_from(writer).unwrap_or(u8::MAX) + 1; 16]
    }

    /// The first writer is a single statement, the others are transactions.
    pub(crate) fn is_statement(writer: usize) -> bool {
        writer == 0
    }

    pub(crate) fn lease_of(reader: usize, left: u8) -> Token {
        [100 + 10 * u8::try_from(reader).unwrap_or(0) + left; 16]
    }

    pub(crate) fn look(&self, world: &World) -> Option<Sight<'static>> {
        let slot = live(world)?;
        let epoch = match (self.variant, entry::parse(&slot.bytes)) {
            (Variant::NoEpoch, Entry::Value { epoch, .. }) => epoch,
            _ => Epoch(world.epoch),
        };
        // The payload is a single byte, so that it outlives the slot's copy.
        Some(match protocol::look(Some(&slot.bytes), epoch, SCHEMA) {
            Sight::Hit { meta, payload, token } => {
                let payload: &'static [u8] =
                    VERSIONS.get(usize::from(payload[0])).map_or(&[], std::slice::from_ref);
                Sight::Hit { meta, payload, token }
            }
            Sight::Absent => Sight::Absent,
            Sight::Vacant => Sight::Vacant,
            Sight::Replace { expect } => Sight::Replace { expect },
            Sight::Busy => Sight::Busy,
        })
    }
}

static VERSIONS: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

pub(crate) fn slot_of(stored: Option<&(Vec<u8>, u64)>) -> Option<Slot> {
    stored.map(|(bytes, expires_at)| Slot { bytes: bytes.clone(), expires_at: *expires_at })
}

pub(crate) fn live(world: &World) -> Option<Slot> {
    protocol::live(slot_of(world.slot.as_ref()), world.now)
}

pub(crate) fn value(version: u8, epoch: u64, token: Token) -> Vec<u8> {
    let meta = Meta { fingerprint: SCHEMA, load_cost_us: 0, soft_expiry_ms: 0 };
    entry::value(Epoch(epoch), token, meta, &[version])
}

/// The deadlines of the slot: of the owners of intents, or of a lease. A value outlives the world.
pub(crate) fn deadlines(slot: &Slot) -> Vec<(Option<usize>, u64)> {
    let owners = slot.bytes.get(2..).unwrap_or_default().chunks_exact(29);
    match slot.bytes.first() {
        Some(b'W') => owners
            .map(|owner| {
                let deadline = std::str::from_utf8(&owner[16..]).unwrap_or("0").parse().unwrap_or(0);
                (Some(usize::from(owner[0]) - 1), deadline)
            })
            .collect(),
        Some(b'L') => vec![(None, slot.expires_at)],
        _ => Vec::new(),
    }
}

impl World {
    pub(crate) fn put(&mut self, slot: Option<Slot>) {
        self.slot = slot.map(|slot| (slot.bytes, slot.expires_at));
    }

    pub(crate) fn begun(&self) -> Begun {
        Begun { committed: self.committed, acknowledged: self.acknowledged }
    }

    pub(crate) fn returned(&mut self, version: u8, begun: Begun) {
        self.broken.strong |= version < begun.committed;
        self.broken.own |= version < begun.acknowledged;
    }

    /// Whether the writer may still commit, or has a release to send.
    pub(crate) fn is_at_work(&self, writer: usize) -> bool {
        match self.writers[writer] {
            Writer::Idle | Writer::Done => false,
            Writer::Gone => self.lock == Some(writer),
            _ => true,
        }
    }

    /// Whether it counts on an intent that it has placed.
    pub(crate) fn has_announced(&self, writer: usize) -> bool {
        self.is_at_work(writer) && self.writers[writer] != Writer::Executed
    }

    /// Time passes to the next deadline in the slot.
    pub(crate) fn expire(&mut self) -> Option<()> {
        let slot = live(self)?;
        let (owner, deadline) = deadlines(&slot).into_iter().min_by_key(|(_, deadline)| *deadline)?;
        if owner.is_some_and(|owner| self.is_at_work(owner)) {
            self.budgets.overlong -= 1;
        }
        self.now = deadline;
        self.slot = live(self).map(|slot| (slot.bytes, slot.expires_at));
        Some(())
    }

    /// The copy takes over, and the intents of who is at work are gone with the life before.
    pub(crate) fn fail_over(&mut self) {
        self.budgets.failovers -= 1;
        self.slot = self.copy.take();
        self.epoch += 1;
        let at_work = (0..self.writers.len()).filter(|writer| self.has_announced(*writer));
        self.old = at_work.map(|writer| 1 << writer).sum();
    }

    pub(crate) fn unlock(&mut self, writer: usize) {
        self.lock = self.lock.filter(|holder| *holder != writer);
    }

    pub(crate) fn commit(&mut self, writer: usize) -> u8 {
        self.unlock(writer);
        self.committed += 1;
        self.committed
    }
}

impl Model for Rules {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            now: START,
            placed: 0,
            slot: None,
            copy: None,
            epoch: 1,
            quarantined: false,
            committed: 0,
            acknowledged: 0,
            lock: None,
            writers: vec![Writer::Idle; self.writers],
            readers: vec![Reader::Idle; self.reads.len()],
            left: self.reads.clone(),
            old: 0,
            budgets: self.budgets,
            broken: Broken::default(),
        }]
    }

    fn actions(&self, world: &World, out: &mut Vec<Step>) {
        if world.broken.strong && world.broken.own {
            // What is broken stays so; there is nothing to learn behind it.
            return;
        }
        for (writer, state) in world.writers.iter().enumerate() {
            self.steps_of_writer(world, writer, *state, out);
        }
        for (reader, state) in world.readers.iter().enumerate() {
            if *state != Reader::Idle || world.left[reader] > 0 {
                out.push(Step::Read(reader));
            }
            if self.variant == Variant::JoinsOlderLoad
                && matches!(state, Reader::Missed(_) | Reader::Bypassing(_))
            {
                let loaded = |other: &usize| matches!(world.readers[*other], Reader::Loaded(..));
                out.extend((0..world.readers.len()).filter(loaded).map(|other| Step::Join(reader, other)));
            }
        }
        Self::steps_of_the_world(world, out);
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Write(writer) => self.write(&mut world, writer),
            Step::RollBack(writer) => {
                world.unlock(writer);
                // Before its intent stands, nothing was sent that would have to be taken back.
                let placed = world.writers[writer] == Writer::Placed;
                world.writers[writer] = if placed { Writer::RolledBack } else { Writer::Done };
            }
            Step::Crash(writer) => {
                world.budgets.crashes -= 1;
                if world.writers[writer] == Writer::Executed {
                    // No COMMIT was sent: the server aborts.
                    world.unlock(writer);
                }
                world.writers[writer] = Writer::Gone;
            }
            Step::LoseAnswer(writer) => {
                world.budgets.unknown -= 1;
                world.lock = Some(writer);
                world.writers[writer] = Writer::Gone;
            }
            Step::ServerCommits => {
                let writer = world.lock?;
                world.commit(writer);
            }
            Step::ServerAborts => world.lock = None,
            Step::Read(reader) => self.read(&mut world, reader),
            Step::Join(reader, other) => {
                let Reader::Loaded(version, _) = world.readers[other] else { return None };
                let (Reader::Missed(begun) | Reader::Bypassing(begun)) = world.readers[reader] else {
                    return None;
                };
                world.returned(version, begun);
                world.readers[reader] = Reader::Idle;
            }
            Step::Expire => {
                world.expire()?;
            }
            Step::Lose => {
                world.budgets.losses -= 1;
                world.slot = None;
            }
            Step::Replicate => world.copy = world.slot.clone(),
            Step::FailOver => {
                world.fail_over();
                world.quarantined = self.variant != Variant::NoQuarantine;
            }
            Step::EndQuarantine => world.quarantined = false,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("strong", |_, world: &World| !world.broken.strong),
            Property::always("own writes", |_, world: &World| !world.broken.own),
            Property::always("heals", |rules: &Self, world: &World| rules.is_healed(world)),
        ]
    }
}
