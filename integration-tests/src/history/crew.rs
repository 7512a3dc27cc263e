//! The processes of a round: started, revived, let go on, and gone with this value.
use super::event::{Event, Tail, What};
use super::fault::Fault;
use super::orders::Orders;
use super::{INTENT_LIFETIME, PROCESSES};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, set_parent_process_death_signal, waitid,
};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A watchdog, not a measurement: what takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

/// Workers and what they log.
#[derive(Debug)]
pub struct Crew {
    folder: PathBuf,
    orders: Orders,
    members: Vec<Member>,
    /// What each process logged, dead ones too.
    pub logs: Vec<Vec<Event>>,
    /// How many reads they hold.
    pub reads: u64,
    /// How many faults they hold.
    pub faults: u64,
    phase: Phase,
}

/// What the workers go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Struck,
    Calm,
    Dismissed,
}

#[derive(Debug)]
struct Member {
    child: Child,
    tail: Tail,
    /// Its place among the logs.
    place: usize,
    stopped: Option<Instant>,
}

impl Crew {
    /// Starts the workers. They log into the folder, each with a seed and a file of its own.
    ///
    /// # Errors
    /// Where one cannot be started.
    pub fn start(folder: PathBuf, orders: Orders) -> io::Result<Self> {
        let (members, logs) = (Vec::new(), Vec::new());
        let mut this = Self { folder, orders, members, logs, reads: 0, faults: 0, phase: Phase::Struck };
        for _ in 0..PROCESSES {
            this.hire()?;
        }
        Ok(this)
    }

    fn hire(&mut self) -> io::Result<()> {
        let place = self.logs.len();
        let log = self.folder.join(format!("worker-{place}"));
        let seed = self.orders.seed.wrapping_mul(1_000_003).wrapping_add(16 * place as u64);
        std::fs::write(&log, [])?;
        let marks = self.orders.marks + (i64::try_from(place).unwrap() << 34);
        let orders = Orders { log: log.clone(), seed, marks, ..self.orders.clone() };
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").args(orders.to_args()).stdin(Stdio::piped()).stdout(Stdio::null());
        let member = Member { tail: Tail::open(&log)?, place, stopped: None, child: command.spawn()? };
        self.members.push(member);
        self.logs.push(Vec::new());
        match self.phase {
            Phase::Struck => Ok(()),
            Phase::Calm | Phase::Dismissed => self.calm(),
        }
    }

    /// Ends the faults, so that what the workers owe the store can reach it.
    ///
    /// # Errors
    /// Where a worker cannot be told.
    pub fn calm(&mut self) -> io::Result<()> {
        self.phase = Phase::Calm;
        for stdin in self.members.iter_mut().filter_map(|member| member.child.stdin.as_mut()) {
            match stdin.write_all(b".") {
                // It has just been killed.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Reads what was logged, lets stopped workers go on in time and replaces the dead.
    ///
    /// # Errors
    /// Where a worker ended that was not to.
    pub fn tend(&mut self) -> io::Result<()> {
        // Whoever is not put back is ended.
        for mut member in std::mem::take(&mut self.members) {
            member.let_go_on()?;
            let ended = member.child.try_wait()?;
            let log = &mut self.logs[member.place];
            for event in member.tail.events()? {
                self.reads += if event.what == What::Read { event.count.into() } else { 0 };
                self.faults += u64::from(event.what == What::Faulted);
                log.push(event);
            }
            let Some(status) = ended else {
                self.members.push(member);
                continue;
            };
            if status.signal() == Some(Signal::KILL.as_raw()) {
                log.push(death(log));
                if self.phase != Phase::Dismissed {
                    self.hire()?;
                }
            } else if !(self.phase == Phase::Dismissed && status.success()) {
                return Err(io::Error::other(format!("a worker ended: {status}")));
            }
        }
        Ok(())
    }

    /// Ends them all, each after the operation that it is at.
    ///
    /// # Errors
    /// Where one does not end in time, or fails.
    pub fn dismiss(&mut self) -> io::Result<()> {
        self.phase = Phase::Dismissed;
        self.members.iter_mut().for_each(|member| drop(member.child.stdin.take()));
        let deadline = Instant::now() + HANGS;
        while !self.members.is_empty() {
            if Instant::now() > deadline {
                return Err(io::Error::other("a worker does not end"));
            }
            self.tend()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Member {
    fn let_go_on(&mut self) -> io::Result<()> {
        let id = Pid::from_child(&self.child);
        match self.stopped {
            None => {
                // It is looked at and not taken away: the end of the process is `try_wait`'s.
                let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                // Of a process that has ended it knows nothing.
                let seen = waitid(WaitId::Pid(id), look).ok().flatten();
                self.stopped = seen.filter(WaitIdStatus::stopped).map(|_| Instant::now());
            }
            Some(since) if since.elapsed() > INTENT_LIFETIME * 3 / 2 => {
                kill_process(id, Signal::CONT)?;
                self.stopped = None;
            }
            Some(_) => {}
        }
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Becomes the command, which ends with the driver, however that ends.
/// Returns only where it cannot.
#[must_use]
pub fn become_mortal(command: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    match command.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => io::Error::other("no command"),
    }
}

/// The end of a process that killed itself, a moment after it said so.
fn death(log: &[Event]) -> Event {
    let said = log.iter().rev().find(|event| matches!(event.fault(), Some((_, Fault::Kill))));
    let event = Event::new(What::Died, u8::MAX, u8::MAX);
    match said {
        Some(said) => Event { begin: said.begin + 1_000_000, end: said.begin + 1_000_000, ..event },
        None => event,
    }
}
