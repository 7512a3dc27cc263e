//! Which of the database's errors have a kind of their own.
use super::{Error, field};
use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Diesel's error as ours.
pub(super) fn classify(error: DieselError) -> Error {
    if matches!(error, DieselError::BrokenTransactionManager) {
        return Error::BrokenConnection;
    }
    let named = match &error {
        DieselError::DeserializationError(inner) | DieselError::SerializationError(inner) => {
            field::named(&**inner)
        }
        _ => None,
    };
    named.unwrap_or_else(|| match kind_of(&error) {
        Kind::Deadlock => Error::Deadlock(error),
        Kind::LockTimeout => Error::LockTimeout(error),
        Kind::Other => Error::Database(error),
    })
}

enum Kind {
    Deadlock,
    LockTimeout,
    Other,
}

// Diesel has a kind for serialization failures, which MySQL's deadlock is; the others it leaves to their texts.
fn kind_of(error: &DieselError) -> Kind {
    let DieselError::DatabaseError(kind, info) = error else { return Kind::Other };
    let says = |texts: &[&str]| texts.iter().any(|text| info.message().contains(text));
    match kind {
        DatabaseErrorKind::SerializationFailure => Kind::Deadlock,
        DatabaseErrorKind::Unknown if says(&DEADLOCKS) => Kind::Deadlock,
        DatabaseErrorKind::Unknown if says(&LOCK_TIMEOUTS) => Kind::LockTimeout,
        _ => Kind::Other,
    }
}

/// Of PostgreSQL; of MariaDB under `innodb_snapshot_isolation`, where a row is newer than the transaction.
const DEADLOCKS: [&str; 2] = ["deadlock detected", "Record has changed since last read"];

/// Of PostgreSQL, MySQL and SQLite.
const LOCK_TIMEOUTS: [&str; 4] =
    ["due to lock timeout", "Lock wait timeout exceeded", "database is locked", "database table is locked"];

/// What is known of a statement or a COMMIT that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The database reported success.
    Done,
    /// The database refused, so nothing was written.
    Refused,
    /// The answer was lost: it may have been written.
    Unknown,
}

impl Outcome {
    /// The outcome of a single statement outside a transaction.
    pub(crate) fn of_statement<T>(result: &Result<T, Error>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(Error::Database(error)) => Self::of_error(error),
            // Raised while a value was bound, before anything was sent, or while the rows of a statement
            // that was done were read. Both are known, and the release is right after both.
            Err(_) => Self::Refused,
        }
    }

    /// The outcome of a COMMIT.
    pub(crate) fn of_commit<T>(result: &Result<T, Error>) -> Self {
        Self::of_statement(result)
    }

    fn of_error(error: &DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, _) => Self::of_kind(kind),
            DieselError::QueryBuilderError(_)
            | DieselError::SerializationError(_)
            | DieselError::DeserializationError(_) => Self::Refused,
            _ => Self::Unknown,
        }
    }

    // A lost connection shows as `ClosedConnection`, `UnableToSendCommand` or `Unknown`, so that of the
    // others only the kinds that a server names itself are a refusal.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "not `Copy`: Diesel may add kinds with content")]
    fn of_kind(kind: &DatabaseErrorKind) -> Self {
        match kind {
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation
            | DatabaseErrorKind::RestrictViolation
            | DatabaseErrorKind::ExclusionViolation
            | DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ReadOnlyTransaction => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

impl Error {
    /// Whether a server reported it, rather than Diesel or this crate.
    pub(crate) fn is_from_server(&self) -> bool {
        let (Self::Database(error) | Self::Deadlock(error) | Self::LockTimeout(error)) = self else {
            return false;
        };
        matches!(error, DieselError::DatabaseError(..))
    }

    /// Whether a constraint of the table refused the statement.
    pub(crate) fn is_of_a_constraint(&self) -> bool {
        matches!(
            self,
            Self::Database(DieselError::DatabaseError(
                DatabaseErrorKind::UniqueViolation
                    | DatabaseErrorKind::ForeignKeyViolation
                    | DatabaseErrorKind::NotNullViolation
                    | DatabaseErrorKind::CheckViolation
                    | DatabaseErrorKind::RestrictViolation
                    | DatabaseErrorKind::ExclusionViolation,
                _
            ))
        )
    }

    /// Whether the connection to the server is gone.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Database(DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _
            ))
        )
    }

    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)))
    }

    /// PostgreSQL computes in BIGINT and reports its overflow; the kind of that error is `Unknown`.
    pub(crate) fn is_numeric_overflow(&self) -> bool {
        matches!(self, Self::Database(DieselError::DatabaseError(DatabaseErrorKind::Unknown, info))
            if info.message().contains("out of range"))
    }
}
