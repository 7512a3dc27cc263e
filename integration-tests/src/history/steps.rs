//! How operations are run: one text for sync and async connections.
use super::desk::{Answer, Desk, Lookup, Next, Stop, Turn};
use super::event::now;
use super::fault::{Defect, Trial};
use super::link::{AsyncLink, Link};
use super::model::{GHOST, History, Part, code, histories, parts, picks, slot, slug};
use super::plan::{Age, Ending, Handling, Plan, Step, callback, limit_of_read, limit_of_write};
use super::trial::{End, arm, attempt, attempt_future, panic_as_planned, struck};
use diesel::prelude::{ExpressionMethods, QueryDsl};
use diesel::{BoolExpressionMethods, MysqlConnection, PgConnection, SqliteConnection, sql_query, update};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use model_runtime::CacheOutcome;
use model_runtime::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many operations a session lives at most.
const LONGEST_SESSION: u32 = 32;

fn other_spelling(text: &str) -> String {
    if text.chars().any(char::is_lowercase) { text.to_uppercase() } else { text.to_lowercase() }
}

/// An async connection whose last call was dropped.
fn after_drop<C: AsyncLink>(conn: &mut C, desk: &Desk<'_>) {
    if desk.orders.defect == Some(Defect::UnguardedDrop) {
        conn.believe_in();
    }
}

/// Nothing is ever dropped on a sync connection.
fn never_dropped<C: Link>(_: &mut C, _: &Desk<'_>) {}

macro_rules! attempted {
    (attempt, $call:expr, $limit:expr) => {
        attempt(|| $call, $limit)
    };
    (attempt_future, $call:expr, $limit:expr) => {
        attempt_future($call, $limit).await
    };
}

macro_rules! face {
    ($face:ident, $connection:ty, $Session:ident, $run:path, $attempt:ident, $after_drop:ident,
     [$($async:tt)?], [$($await:tt)*]) => {
        pub(super) mod $face {
            use super::*;
            use $run as Run;

            type Db<'s> = $Session<'s, $connection>;

            /// Operations on one connection, until it is no longer to be used, or all is over.
            pub(in crate::history) $($async)? fn work(
                conn: &mut $connection, cache: &Cache, desk: &mut Desk<'_>, over: &AtomicBool,
            ) {
                while !over.load(Ordering::Relaxed) {
                    let mut db = $Session::new(conn, cache);
                    for _ in 0..desk.rng.u32(1..=LONGEST_SESSION) {
                        let next = match desk.turn() {
                            Turn::Read(lookup) => read(&mut db, desk, &lookup)$($await)*,
                            Turn::Write(plan) => write(&mut db, desk, &plan)$($await)*,
                        };
                        match next {
                            Next::SameSession => {}
                            Next::NewSession => break,
                            Next::Reconnect => return,
                        }
                    }
                }
            }

            $($async)? fn read(db: &mut Db<'_>, desk: &mut Desk<'_>, lookup: &Lookup) -> Next {
                let (limit, begin) = (limit_of_read(&mut desk.rng), now());
                match attempted!($attempt, look(db, lookup), limit) {
                    End::Done(Ok(answer)) => desk.read(lookup.register(), answer, begin),
                    End::Done(Err(error)) => return desk.next(Err(&error)),
                    End::Panicked | End::Crashed => return desk.crashed(),
                    End::Dropped => {
                        if let Some(limit) = limit {
                            desk.tried(limit.trial());
                        }
                        $after_drop(db.connection(), desk);
                        return desk.dropped();
                    }
                }
                Next::SameSession
            }

            $($async)? fn look(db: &mut Db<'_>, lookup: &Lookup) -> Result<Answer, Error> {
                let answer = match lookup {
                    Lookup::InDatabase(row) => {
                        let found = db.transaction($($async)? |db: &mut Db<'_>| {
                            History::get_from_cache(db, histories::slug, slug(*row))$($await)*
                        })$($await)*;
                        found.map(|found| Answer::of(found.slug == slug(*row), found.v.into()))
                    }
                    Lookup::BySlug(row) => {
                        let found = History::get_from_cache(db, histories::slug, slug(*row))$($await)*;
                        found.map(|found| Answer::of(found.slug == slug(*row), found.v.into()))
                    }
                    Lookup::ById(row, id) => {
                        let found = History::get_from_cache(db, histories::id, *id)$($await)*;
                        found.map(|found| Answer::of(found.slug == slug(*row), found.v.into()))
                    }
                    Lookup::PartByCode(_, code) => {
                        let found = Part::get_from_cache(db, parts::code, code.as_str())$($await)*;
                        found.map(|found| Answer::of(found.code.eq_ignore_ascii_case(code), found.v))
                    }
                    Lookup::PartBySlug(number) => {
                        let found = Part::get_from_cache(db, parts::slug, slot(*number))$($await)*;
                        found.map(|found| Answer::of(found.slug == slot(*number), found.v))
                    }
                };
                match answer {
                    Err(Error::DoesNotExist { .. }) => Ok(Answer::Nothing),
                    answer => answer,
                }
            }

            $($async)? fn write(db: &mut Db<'_>, desk: &mut Desk<'_>, plan: &Plan) -> Next {
                let (armed, limit) = (callback(&mut desk.rng), limit_of_write(&mut desk.rng, plan));
                arm(armed);
                let end = attempted!($attempt, carry_out(db, desk, plan), limit);
                if let Some(trial) = struck(armed) {
                    desk.tried(trial);
                }
                let next = match &end {
                    End::Done(Ok(()) | Err(Stop::OnPurpose)) => desk.next(Ok(())),
                    End::Done(Err(Stop::Failed(error))) => desk.next(Err(error)),
                    End::Panicked => desk.panicked(),
                    End::Crashed => desk.crashed(),
                    End::Dropped => {
                        if let Some(limit) = limit {
                            desk.tried(limit.trial());
                        }
                        $after_drop(db.connection(), desk);
                        desk.dropped()
                    }
                };
                desk.close(matches!(end, End::Done(_)) && db.cache_outcome() == CacheOutcome::Told);
                next
            }

            $($async)? fn carry_out(db: &mut Db<'_>, desk: &mut Desk<'_>, plan: &Plan) -> Result<(), Stop> {
                match plan {
                    Plan::Alone(step) => Ok(run(db, desk, *step)$($await)*?),
                    Plan::Transaction(steps, ending) => {
                        let done = db.transaction($($async)? |db: &mut Db<'_>| {
                            desk.enters();
                            for (step, handling) in steps {
                                handled(db, desk, *step, *handling)$($await)*?;
                            }
                            match ending {
                                Ending::Commit => Ok(desk.commits()),
                                Ending::RollBack => Err(Stop::OnPurpose),
                                Ending::Panic => {
                                    desk.tried(Trial::PanicInClosure);
                                    panic_as_planned()
                                }
                            }
                        })$($await)*;
                        desk.ended(&done);
                        done
                    }
                }
            }

            $($async)? fn handled(
                db: &mut Db<'_>, desk: &mut Desk<'_>, step: Step, handling: Handling,
            ) -> Result<(), Stop> {
                let from = desk.writes();
                match handling {
                    Handling::Return => run(db, desk, step)$($await)*?,
                    Handling::Swallow => {
                        if run(db, desk, step)$($await)*.is_err() {
                            desk.tried(Trial::Swallowed);
                        }
                    }
                    Handling::Savepoint | Handling::Undo => {
                        let done = db.transaction($($async)? |db: &mut Db<'_>| {
                            run(db, desk, step)$($await)*?;
                            if handling == Handling::Undo { Err(Stop::OnPurpose) } else { Ok(()) }
                        })$($await)*;
                        if let Err(why) = done {
                            desk.undo(from);
                            desk.tried(match why {
                                Stop::OnPurpose => Trial::SavepointUndone,
                                Stop::Failed(_) => Trial::SavepointFailed,
                            });
                        }
                    }
                }
                Ok(())
            }

            $($async)? fn run(db: &mut Db<'_>, desk: &mut Desk<'_>, step: Step) -> Result<(), Error> {
                match step {
                    Step::Pick(pick, row, number) => {
                        let history = desk.rows[usize::from(row)].id;
                        let set = (picks::history.eq(history), picks::slug.eq(slot(number)));
                        let pick = update(picks::table.find(i32::from(pick))).set(set);
                        Run::execute(pick, db.connection())$($await)*?;
                        desk.tried(Trial::Picked);
                    }
                    Step::Look(row) => drop(History::get_from_cache(db, histories::slug, slug(row))$($await)*?),
                    Step::FailUnseen => {
                        let failing = sql_query("SELECT nothing FROM nowhere");
                        let _ = Run::execute(failing, db.connection())$($await)*;
                        desk.tried(Trial::HiddenFailure);
                    }
                    Step::RollBackUnseen => {
                        let failing = sql_query("INSERT INTO taken (id) VALUES (1)");
                        let _ = Run::execute(failing, db.connection())$($await)*;
                        desk.tried(Trial::HiddenRollback);
                    }
                    Step::Update(_) | Step::UpdateWhere(_) | Step::Upsert(_) | Step::UpsertGhost | Step::UpdatePicked
                    | Step::TakeRoom | Step::CreateTwice(_) => history(db, desk, step)$($await)*?,
                    Step::PartSwapSlugs(..) | Step::PartSwapCodes(..) => swap(db, desk, step)$($await)*?,
                    _ => part(db, desk, step)$($await)*?,
                }
                Ok(())
            }

            /// Each write of a history is `v := v + 1`.
            $($async)? fn history(db: &mut Db<'_>, desk: &mut Desk<'_>, step: Step) -> Result<(), Error> {
                let mark = desk.begin();
                let done = match step {
                    Step::Update(row) => {
                        let row = &mut desk.rows[usize::from(row)];
                        let done = row.update().v(F(histories::v) + 1).mark(mark).execute(db)$($await)*;
                        done.map(usize::from)
                    }
                    Step::UpdateWhere(row) => {
                        let row = History::update_where(histories::slug.eq(slug(row)));
                        row.v(F(histories::v) + 1).mark(mark).execute(db)$($await)*
                    }
                    Step::UpdatePicked => {
                        let picked = picks::table.select(picks::history);
                        let rows = History::update_where(histories::id.eq_any(picked));
                        rows.v(F(histories::v) + 1).mark(mark).execute(db)$($await)*
                    }
                    Step::TakeRoom => {
                        let rows = History::update_where(histories::id.gt(0));
                        let rows = rows.room(F(histories::room) - 3).v(F(histories::v) + 1);
                        rows.mark(mark).execute(db)$($await)*
                    }
                    Step::Upsert(row) => {
                        let row = History::create_or_update().slug(slug(row));
                        let row = row.defaults(|row| row.v(F(histories::v) + 1).mark(mark));
                        row.execute(db)$($await)*.map(|done| match done {
                            CreateOrUpdate::Created(_) => 1,
                            CreateOrUpdate::Updated(rows) => rows,
                        })
                    }
                    Step::UpsertGhost => {
                        desk.tried(Trial::PanicBeforeWrite);
                        let row = History::create_or_update().slug(GHOST);
                        let row = row.defaults(|row| row.v(0).room(0).mark(mark));
                        row.execute(db)$($await)*.map(|_| 1)
                    }
                    Step::CreateTwice(row) => {
                        let row = History::create().slug(slug(row)).v(0).room(0).mark(mark);
                        row.execute(db)$($await)*.map(|_| 1)
                    }
                    _ => Ok(0),
                };
                let rows = desk.came(mark, done.map(|rows| u32::try_from(rows).unwrap()))?;
                if step == Step::UpdatePicked && rows > 0 {
                    desk.tried(Trial::Subquery);
                }
                Ok(())
            }

            /// Looks the part up, unless an old instance will do; says whether there is one.
            $($async)? fn find(db: &mut Db<'_>, desk: &mut Desk<'_>, part: u8, age: Age) -> Result<bool, Error> {
                let at = usize::from(part);
                if age == Age::Fresh || desk.parts[at].is_none() {
                    let spelling = desk.spelling(part);
                    desk.parts[at] = Part::get_from_cache(db, parts::code, spelling)$($await)*.optional()?;
                }
                Ok(desk.parts[at].is_some())
            }

            /// Each write of a part sets `v` to its mark.
            $($async)? fn part(db: &mut Db<'_>, desk: &mut Desk<'_>, step: Step) -> Result<(), Error> {
                match step {
                    Step::PartUpdate(part, age) if find(db, desk, part, age)$($await)*? => {
                        let mark = desk.begin();
                        let Some(row) = &mut desk.parts[usize::from(part)] else { return Ok(()) };
                        let done = row.update().v(mark).execute(db)$($await)*;
                        desk.came(mark, done.map(u32::from))?;
                    }
                    Step::PartUpdateWhere(number) => {
                        let mark = desk.begin();
                        let row = Part::update_where(parts::slug.eq(slot(number))).v(mark);
                        let done = row.execute(db)$($await)*;
                        desk.came(mark, done.map(|rows| u32::try_from(rows).unwrap()))?;
                    }
                    Step::PartRename(part, age) if find(db, desk, part, age)$($await)*? => {
                        let mark = desk.begin();
                        desk.saves(part, mark);
                        let Some(row) = &mut desk.parts[usize::from(part)] else { return Ok(()) };
                        (row.code, row.v) = (other_spelling(&row.code), mark);
                        let done = row.save(db)$($await)*;
                        desk.came(mark, done.map(|()| 1))?;
                        desk.tried(Trial::Renamed);
                    }
                    Step::PartSaveAgain => {
                        let Some((part, mark)) = desk.again.take() else { return Ok(()) };
                        if desk.parts[usize::from(part)].as_ref().is_none_or(|row| row.v != mark) {
                            return Ok(());
                        }
                        desk.begin_again(mark);
                        let Some(row) = &mut desk.parts[usize::from(part)] else { return Ok(()) };
                        let done = row.save(db)$($await)*;
                        desk.came(mark, Desk::some(done))?;
                        desk.tried(Trial::SavedAgain);
                    }
                    Step::PartCreate(part, number) => {
                        let mark = desk.begin();
                        let row = Part::create().code(code(part)).slug(slot(number)).v(mark);
                        let done = row.execute(db)$($await)*;
                        desk.came(mark, done.map(|_| 1))?;
                        desk.tried(Trial::Inserted);
                    }
                    // A deletion leaves no mark of its own, so that the row gets one before.
                    Step::PartDelete(part) => {
                        let (mark, spelling) = (desk.begin(), desk.spelling(part));
                        let done = db.transaction($($async)? |db: &mut Db<'_>| {
                            let mut row = Part::get_from_cache(db, parts::code, spelling)$($await)*?;
                            // At READ COMMITTED another row may have taken the key since: it is not marked.
                            if !row.update().v(mark).execute(db)$($await)*? {
                                return Ok::<_, Error>(0);
                            }
                            Ok(1 + u32::from(row.delete(db)$($await)*?))
                        })$($await)*;
                        desk.came(mark, done)?;
                        desk.tried(Trial::Deleted);
                    }
                    Step::PartDeletePicked => {
                        let mark = desk.begin();
                        let done = db.transaction($($async)? |db: &mut Db<'_>| {
                            let picked = parts::slug.eq_any(picks::table.select(picks::slug));
                            let marked = Part::update_where(picked).v(mark).execute(db)$($await)*?;
                            let picked = parts::slug.eq_any(picks::table.select(picks::slug));
                            let deleted = Part::delete_where(picked.and(parts::v.eq(mark)));
                            Ok::<_, Error>(marked + deleted.execute(db)$($await)*?)
                        })$($await)*;
                        desk.came(mark, done.map(|rows| u32::try_from(rows).unwrap()))?;
                        desk.tried(Trial::Deleted);
                    }
                    _ => {}
                }
                Ok(())
            }

            /// Two parts exchange a key: three writes, as neither key may be there twice.
            $($async)? fn swap(db: &mut Db<'_>, desk: &mut Desk<'_>, step: Step) -> Result<(), Error> {
                let (Step::PartSwapSlugs(one, other) | Step::PartSwapCodes(one, other)) = step else {
                    return Ok(());
                };
                let (mark, meanwhile) = (desk.begin(), format!("meanwhile-{}", desk.rng.u32(..)));
                let codes = [desk.spelling(one), desk.spelling(other)];
                let done = db.transaction($($async)? |db: &mut Db<'_>| {
                    let [first, second] = &codes;
                    let mut one = Part::get_from_cache(db, parts::code, first.as_str())$($await)*?;
                    let mut other = Part::get_from_cache(db, parts::code, second.as_str())$($await)*?;
                    if matches!(step, Step::PartSwapSlugs(..)) {
                        let slugs = (one.slug.clone(), other.slug.clone());
                        let moved = [
                            one.update().slug(meanwhile).v(mark).execute(db)$($await)*?,
                            other.update().slug(slugs.0).v(mark).execute(db)$($await)*?,
                            one.update().slug(slugs.1).v(mark).execute(db)$($await)*?,
                        ];
                        return Ok::<_, Error>(moved.into_iter().map(u32::from).sum());
                    }
                    let codes = (one.code.clone(), other.code.clone());
                    (one.code, one.v) = (meanwhile, mark);
                    one.save(db)$($await)*?;
                    (other.code, other.v) = (codes.0, mark);
                    other.save(db)$($await)*?;
                    one.code = codes.1;
                    one.save(db)$($await)*?;
                    Ok(3)
                })$($await)*;
                desk.came(mark, done)?;
                desk.tried(Trial::Swapped);
                Ok(())
            }
        }
    };
}

macro_rules! faces { ($($face:ident: $sync:ty, $asynchronous:ident: $async:ty;)*) => { $(
    face!($face, $sync, Session, diesel::RunQueryDsl, attempt, never_dropped, [], []);
    face!(
        $asynchronous, $async, AsyncSession, diesel_async::RunQueryDsl, attempt_future, after_drop, [async], [.await]
    );
)* } }

faces! {
    sqlite: SqliteConnection, sqlite_async: SyncConnectionWrapper<SqliteConnection>;
    postgres: PgConnection, postgres_async: AsyncPgConnection;
    mysql: MysqlConnection, mysql_async: AsyncMysqlConnection;
}
