//! A cache that is turned on while processes run: some place no intents yet, some place them and do not read, some read.
//! What stands under the key is a version of the row, or of its absence: the rules are the same.
use crate::world::{LIFETIME, slot_of, value};
use model_runtime::Phase;
use model_runtime::cache::entry::{self, Epoch, Token};
use model_runtime::cache::protocol::{self, Sight, Slot};
use stateright::{Checker, Model, Property};

const NOW: u64 = 1_000_000_000_000;
const SCHEMA: u64 = 7;
const EPOCH: u64 = 1;

/// In which order the processes go from phase to phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Write-only everywhere, then on; off in the reverse order, and on again after a clear.
    TwoDeploys,
    /// From off to on at once.
    OneDeploy,
    /// On again without a clear.
    WithoutClear,
    /// The next step does not wait for what began before the last one.
    Unsettled,
}

/// A few processes, each of which writes and reads.
#[derive(Debug, Clone)]
pub(crate) struct Rollout {
    pub(crate) order: Order,
    pub(crate) processes: usize,
    pub(crate) writes: u8,
    pub(crate) reads: u8,
    pub(crate) steps: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    slot: Option<(Vec<u8>, u64)>,
    committed: u8,
    processes: Vec<Process>,
    writes: u8,
    reads: u8,
    steps: u8,
    entries: Entries,
    /// One was read after they had been deleted.
    hit: bool,
    stale: bool,
}

/// What may stand in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Entries {
    /// Every write has told of itself.
    Told,
    /// Somebody was off.
    Untold,
    /// Somebody was, and the entries were deleted since.
    Cleared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    phase: Phase,
    writer: Writer,
    reader: Reader,
}

/// Each knows whether it has told of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    Announced(bool),
    Committed(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    Leased,
    Loaded(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Write(usize),
    Read(usize),
    Go(usize, Phase),
    Clear,
}

impl Rollout {
    /// Whether a process may go to this phase now.
    fn may_go(&self, state: &State, process: usize, to: Phase) -> bool {
        let others = |fits: fn(Phase) -> bool| state.processes.iter().all(|other| fits(other.phase));
        let hurries = self.order == Order::Unsettled;
        match (state.processes[process].phase, to) {
            (Phase::Off, Phase::On) => self.order == Order::OneDeploy,
            (Phase::Off, Phase::WriteOnly) => self.order != Order::OneDeploy,
            (Phase::On, Phase::WriteOnly) => true,
            (Phase::WriteOnly, Phase::On) => {
                let untold = |process: &Process| {
                    matches!(process.writer, Writer::Announced(false) | Writer::Committed(false))
                };
                let clear = state.entries != Entries::Untold || self.order == Order::WithoutClear;
                let settled = hurries || !state.processes.iter().any(untold);
                clear && settled && others(|phase| phase != Phase::Off)
            }
            (Phase::WriteOnly, Phase::Off) => {
                let settled = hurries || state.processes.iter().all(|it| it.reader == Reader::Idle);
                settled && others(|phase| phase != Phase::On)
            }
            _ => false,
        }
    }

    fn write(state: &mut State, process: usize) {
        let token = [u8::try_from(process).unwrap_or(0) + 1; 16];
        let Process { phase, writer, .. } = state.processes[process];
        state.processes[process].writer = match writer {
            Writer::Idle => {
                state.writes -= 1;
                let tells = phase != Phase::Off;
                if tells {
                    let placed = protocol::place(slot_of(state.slot.as_ref()), token, LIFETIME, NOW);
                    state.put(Some(placed));
                }
                Writer::Announced(tells)
            }
            Writer::Announced(told) => {
                state.committed += 1;
                Writer::Committed(told)
            }
            Writer::Committed(told) => {
                if told {
                    let (left, _) = protocol::release(slot_of(state.slot.as_ref()), token, NOW);
                    state.put(left);
                }
                Writer::Idle
            }
        };
    }

    fn read(state: &mut State, process: usize) {
        let token: Token = [100 + u8::try_from(process).unwrap_or(0); 16];
        let slot = slot_of(state.slot.as_ref());
        state.processes[process].reader = match state.processes[process].reader {
            Reader::Idle => {
                state.reads -= 1;
                state.look(slot, token)
            }
            Reader::Leased => Reader::Loaded(state.committed),
            Reader::Loaded(version) => {
                let (lease, new) = (entry::lease(token), value(version, EPOCH, token));
                state.put(protocol::swap(slot, &lease, new, LIFETIME, NOW).0);
                Reader::Idle
            }
        };
    }
}

impl State {
    fn put(&mut self, slot: Option<Slot>) {
        self.slot = slot.map(|slot| (slot.bytes, slot.expires_at));
    }

    /// A look, and the lease of what is vacant. Other lookups are answered by the database, and are never stale.
    fn look(&mut self, slot: Option<Slot>, token: Token) -> Reader {
        let bytes = slot.as_ref().map(|slot| slot.bytes.clone());
        match protocol::look(bytes.as_deref(), Epoch(EPOCH), SCHEMA) {
            Sight::Hit { payload, .. } => {
                self.hit |= self.entries == Entries::Cleared;
                self.stale |= payload != [self.committed];
                Reader::Idle
            }
            Sight::Vacant => {
                self.put(protocol::lease(slot, token, LIFETIME, NOW).0);
                Reader::Leased
            }
            Sight::Absent | Sight::Replace { .. } | Sight::Busy => Reader::Idle,
        }
    }
}

impl Model for Rollout {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let idle = Process { phase: Phase::Off, writer: Writer::Idle, reader: Reader::Idle };
        vec![State {
            slot: None,
            committed: 0,
            processes: vec![idle; self.processes],
            writes: self.writes,
            reads: self.reads,
            steps: self.steps,
            entries: Entries::Told,
            hit: false,
            stale: false,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Step>) {
        for (number, process) in state.processes.iter().enumerate() {
            if process.writer != Writer::Idle || state.writes > 0 {
                out.push(Step::Write(number));
            }
            let begins = process.phase == Phase::On && state.reads > 0;
            if process.reader != Reader::Idle || begins {
                out.push(Step::Read(number));
            }
            let phases = [Phase::Off, Phase::WriteOnly, Phase::On];
            let allowed = phases.into_iter().filter(|to| state.steps > 0 && self.may_go(state, number, *to));
            out.extend(allowed.map(|to| Step::Go(number, to)));
        }
        if state.entries == Entries::Untold
            && state.processes.iter().all(|process| process.phase == Phase::WriteOnly)
        {
            out.push(Step::Clear);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Write(process) => Self::write(&mut state, process),
            Step::Read(process) => Self::read(&mut state, process),
            Step::Go(process, to) => {
                state.steps -= 1;
                state.processes[process].phase = to;
                if to == Phase::Off {
                    state.entries = Entries::Untold;
                }
            }
            Step::Clear => {
                // By a token that nobody placed, as `clear` does.
                let (left, _) = protocol::release(slot_of(state.slot.as_ref()), [200; 16], NOW);
                state.put(left);
                state.entries = Entries::Cleared;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("strong", |_, state: &State| !state.stale),
            Property::sometimes("a hit after a way back", |_, state: &State| state.hit),
        ]
    }
}

/// Whether a stale hit can be found, and whether a hit can after the way there, back and there again.
fn explore(order: Order) -> (bool, bool) {
    // Twelve steps take two processes there, back and there again.
    let rules = Rollout { order, processes: 2, writes: 3, reads: 3, steps: 12 };
    let checker = rules.checker().threads(2).spawn_bfs().join();
    let stale = checker.discovery("strong");
    if let Some(path) = &stale {
        eprintln!("{order:?} is broken by {:?}", path.clone().into_actions());
    }
    eprintln!("{order:?}: {} states", checker.unique_state_count());
    (stale.is_some(), checker.discovery("a hit after a way back").is_some())
}

#[test]
fn a_cache_that_is_turned_on_in_two_deploys_and_off_in_reverse_serves_nothing_stale() {
    assert_eq!(explore(Order::TwoDeploys), (false, true));
}

#[test]
fn a_cache_that_is_turned_on_in_one_deploy_is_caught() {
    assert!(explore(Order::OneDeploy).0);
}

#[test]
fn a_cache_that_is_turned_on_again_without_a_clear_is_caught() {
    assert!(explore(Order::WithoutClear).0);
}

#[test]
fn a_step_that_does_not_wait_for_what_was_under_way_is_caught() {
    assert!(explore(Order::Unsettled).0);
}
