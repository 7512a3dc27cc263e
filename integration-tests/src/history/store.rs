//! A store that injects faults at the boundaries of its calls, and that can be made to break the protocol.
use super::INTENT_LIFETIME;
use super::event::{Event, Log, What, now};
use super::fault::{Defect, Fault, Point};
use model_runtime::cache::entry::Token;
use model_runtime::cache::protocol::{Command, Reply};
use model_runtime::store::{Answer, Answering, RedisStore, Store, StoreError};
use rustix::process::{Signal, getpid, kill_process};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the store must know of the thread that calls it.
struct Caller {
    /// The highest number for the cache's own thread, which pays what the others owe.
    thread: u8,
    armed: Option<(Point, Fault)>,
    /// Of its last intents.
    token: Option<Token>,
    /// Cuts its connection to the database.
    cut: Option<Box<dyn Fn()>>,
}

thread_local! {
    static CALLER: RefCell<Caller> =
        const { RefCell::new(Caller { thread: u8::MAX, armed: None, token: None, cut: None }) };
}

/// A real store behind the faults.
pub struct FaultyStore {
    inner: RedisStore,
    raw: redis::Client,
    rows: HashMap<String, u8>,
    log: Arc<Log>,
    defect: Option<Defect>,
    /// No fault strikes any more.
    pub calm: AtomicBool,
    /// When this process was last let go on, or answered again.
    resumed: AtomicU64,
    /// The last call was not answered, and keys may wait in this process for their release.
    unanswered: AtomicBool,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyStore").field(&self.inner).finish()
    }
}

impl FaultyStore {
    /// A store at `url`; `rows` are the numbers of the keys.
    #[must_use]
    pub fn new(url: &str, rows: HashMap<String, u8>, log: Arc<Log>, defect: Option<Defect>) -> Self {
        // A time-out must not decide what a fault is meant to decide.
        let patience = Duration::from_secs(20);
        Self {
            inner: RedisStore::new(url, patience, patience, INTENT_LIFETIME).unwrap(),
            raw: redis::Client::open(url).unwrap(),
            rows,
            log,
            defect,
            calm: AtomicBool::new(false),
            resumed: AtomicU64::new(0),
            unanswered: AtomicBool::new(false),
        }
    }

    /// Names the calling thread.
    pub fn enter(thread: u8) {
        CALLER.with_borrow_mut(|caller| caller.thread = thread);
    }

    /// How the calling thread's connection to the database is cut.
    pub fn on_cut(cut: Option<Box<dyn Fn()>>) {
        CALLER.with_borrow_mut(|caller| caller.cut = cut);
    }

    /// Lets the fault strike the calling thread when it is next there, unless another one waits.
    pub fn arm(point: Point, fault: Fault) {
        CALLER.with_borrow_mut(|caller| caller.armed = caller.armed.or(Some((point, fault))));
    }

    fn strike(&self, here: Point, batch: &[Command]) {
        let (thread, armed) = CALLER.with_borrow(|caller| (caller.thread, caller.armed));
        let Some((_, fault)) = armed.filter(|(point, _)| *point == here) else { return };
        if self.calm.load(Ordering::Relaxed) || (fault == Fault::Kill && self.owes()) {
            return;
        }
        CALLER.with_borrow_mut(|caller| caller.armed = None);
        let row = batch.iter().find_map(|command| self.rows.get(key(command))).copied();
        self.log.add(Event::new(What::Faulted, thread, row.unwrap_or(u8::MAX)).with_fault(here, fault));
        match fault {
            Fault::Kill => die(),
            Fault::Stop => {
                kill_process(getpid(), Signal::STOP).unwrap();
                self.resumed.store(now(), Ordering::Relaxed);
            }
            Fault::CutStore => self.cut_store(),
            Fault::CutDatabase => {
                CALLER.with_borrow(|caller| caller.cut.as_ref().map(|cut| cut()));
            }
        }
    }

    // A stop can cost the intents of the process's other writes, and without an answer there are none: a kill before
    // the releases would leave what only the time to live ends.
    fn owes(&self) -> bool {
        let since = now() - self.resumed.load(Ordering::Relaxed);
        self.unanswered.load(Ordering::Relaxed) || Duration::from_nanos(since) < INTENT_LIFETIME
    }

    fn cut_store(&self) {
        if let Ok(mut raw) = self.raw.get_connection() {
            let mut kill = redis::cmd("CLIENT");
            let _ = kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut raw);
        }
    }

    /// Carries out the batch as the defect has it.
    fn carried_out(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        match self.defect {
            Some(Defect::FillWithoutLease) => {
                for command in batch {
                    if let Command::Swap { key, new, ttl_ms, .. } = command
                        && is_fill(command)
                        && let Ok(mut raw) = self.raw.get_connection()
                    {
                        let _ = redis::cmd("SET").arg(key).arg(new).arg("PX").arg(*ttl_ms).exec(&mut raw);
                    }
                }
                self.inner.call(batch)
            }
            Some(Defect::NoIntents) if batch.iter().all(is_place) => {
                let get = batch.iter().map(|command| Command::Get { key: key(command).to_owned() });
                let answer = self.inner.call(&get.collect::<Vec<_>>())?;
                Ok(Answer { replies: batch.iter().map(|_| Reply::Done(true)).collect(), ..answer })
            }
            Some(Defect::ReleaseEarly) if batch.iter().all(is_place) => {
                let answer = self.inner.call(batch)?;
                let release = batch.iter().filter_map(|command| match command {
                    Command::Place { key, token, .. } => {
                        Some(Command::Release { key: key.clone(), token: *token })
                    }
                    _ => None,
                });
                self.inner.call(&release.collect::<Vec<_>>())?;
                Ok(answer)
            }
            Some(Defect::SkipSomeKeys)
                if batch.iter().all(|command| is_place(command) || is_release(command)) =>
            {
                let answer = self.inner.call(&batch[..1])?;
                let replies = batch.iter().map(|_| answer.replies[0].clone()).collect();
                Ok(Answer { replies, ..answer })
            }
            _ => self.inner.call(batch),
        }
    }

    /// Logs what a batch said about intents.
    fn note(&self, batch: &[Command], begin: u64, answered: bool) {
        let (thread, own) = CALLER.with_borrow(|caller| (caller.thread, caller.token));
        for command in batch {
            let what = match (command, answered) {
                (Command::Place { .. }, true) => What::Placed,
                (Command::Place { .. }, false) => What::PlaceFailed,
                (Command::Release { token, .. }, true) if Some(*token) == own => What::Released,
                (Command::Release { .. }, true) => What::Drained,
                (Command::Release { .. }, false) => What::ReleaseFailed,
                _ => continue,
            };
            if let Some(row) = self.rows.get(key(command)) {
                self.log.add(Event { begin, ..Event::new(what, thread, *row) });
            }
        }
    }
}

impl FaultyStore {
    /// What strikes before the batch is sent.
    fn before(&self, batch: &[Command]) -> u64 {
        if let Some(Command::Place { token, .. }) = batch.first() {
            CALLER.with_borrow_mut(|caller| caller.token = Some(*token));
        }
        if batch.iter().any(is_release) {
            self.strike(Point::BeforeRelease, batch);
        }
        if batch.iter().any(is_fill) {
            self.strike(Point::BeforeFill, batch);
        }
        now()
    }

    /// What is logged of the answer, and what strikes before the caller has it.
    fn after(&self, batch: &[Command], begin: u64, answer: &Result<Answer, StoreError>) {
        if self.unanswered.swap(answer.is_err(), Ordering::Relaxed) {
            self.resumed.store(now(), Ordering::Relaxed);
        }
        self.note(batch, begin, answer.is_ok());
        for (is, point) in [
            (is_place as fn(&Command) -> bool, Point::AfterPlace),
            (is_release, Point::MidRelease),
            (is_lease, Point::AfterLease),
            (is_fill, Point::AfterFill),
        ] {
            if batch.iter().any(is) {
                self.strike(point, batch);
            }
        }
    }
}

impl Store for FaultyStore {
    fn call(&self, batch: &[Command]) -> Result<Answer, StoreError> {
        let begin = self.before(batch);
        let answer = self.carried_out(batch);
        self.after(batch, begin, &answer);
        answer
    }

    fn call_async<'a>(&'a self, batch: &'a [Command]) -> Answering<'a> {
        Box::pin(async move {
            let begin = self.before(batch);
            let answer = match self.defect {
                None => self.inner.call_async(batch).await,
                Some(_) => self.carried_out(batch),
            };
            self.after(batch, begin, &answer);
            answer
        })
    }
}

fn die() -> ! {
    kill_process(getpid(), Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}

fn key(command: &Command) -> &str {
    match command {
        Command::Get { key }
        | Command::Lease { key, .. }
        | Command::Swap { key, .. }
        | Command::Place { key, .. }
        | Command::Release { key, .. } => key,
        Command::Scan { prefix, .. } => prefix,
        Command::Deref { pointer } | Command::Point { pointer, .. } | Command::Unpoint { pointer, .. } => {
            pointer
        }
    }
}

fn is_place(command: &Command) -> bool {
    matches!(command, Command::Place { .. })
}

fn is_release(command: &Command) -> bool {
    matches!(command, Command::Release { .. })
}

/// A lease, also one that takes the place of a useless value.
fn is_lease(command: &Command) -> bool {
    matches!(command, Command::Lease { .. })
        || matches!(command, Command::Swap { new, .. } if new.first() == Some(&b'L'))
}

fn is_fill(command: &Command) -> bool {
    matches!(command, Command::Swap { expect, .. } if expect.first() == Some(&b'L'))
}
