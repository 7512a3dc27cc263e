//! A field that stays between the database and this process.
mod probe;
mod sql;

pub use probe::{FieldProbe, InKeys, InOption, InRepr, ProbeField};
pub use sql::UncachedExpression;

use crate::cache::codec::{Cacheable, CodecError, Decoder, Encoder};
use diesel::deserialize::FromSqlRow;
use std::fmt;

/// A value that is never stored in the cache: a password's hash, a token, a key.
///
/// The type is the declaration, there is no attribute beside it. A row from a lookup through the cache does not have the
/// value, whether the cache or the database answered; rows from everywhere else have it: from
/// [`create`](crate::SentryModel::create), [`get_or_create`](crate::SentryModel::get_or_create),
/// [`refresh`](crate::Tracked::refresh) and plain Diesel. A value that is not loaded is never written:
/// [`save`](crate::Tracked::save) writes the changed columns only, and a statement that would store it is refused with
/// [`Error::InvalidValue`](crate::Error::InvalidValue).
///
/// `Debug` shows no value. There is neither `Display` nor serde's `Serialize`: what contains the value does not compile
/// where it would be cached, or sent elsewhere, by mistake. In a struct that derives them, use `#[serde(skip)]`.
///
/// A nullable column is an `Uncached<Option<T>>`. The memory of the process is not wiped, and `==` takes as long as the
/// values are alike: compare what a caller presents in constant time.
///
/// # Example: what a lookup through the cache leaves out
/// ```
/// use diesel::prelude::*;
/// use model_runtime::prelude::*;
/// # diesel::table! { users (id) { id -> Integer, email -> Text, password_hash -> Text } }
///
/// #[derive(Debug, Queryable, Selectable, SentryModel)]
/// #[diesel(table_name = users)]
/// #[cache_fields(email)]
/// struct User {
///     #[bounded(auto)]
///     id: i32,
///     email: String,
///     password_hash: Uncached<String>,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = SqliteConnection::establish(":memory:")?;
/// # diesel::sql_query(
/// #     "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, password_hash TEXT NOT NULL)",
/// # )
/// # .execute(&mut conn)?;
/// # let cache = Cache::memory();
/// # let mut db = Session::new(&mut conn, &cache);
/// User::create().email("ann@example.org").password_hash("$argon2id$…").execute(&mut db)?;
///
/// let mut user = User::get_from_cache(&mut db, users::email, "ann@example.org")?;
/// assert_eq!(user.password_hash.get(), None);
///
/// user.refresh(&mut db)?;
/// assert_eq!(user.loaded(users::password_hash)?, "$argon2id$…");
/// assert_eq!(format!("{:?}", user.password_hash), "Uncached(…)");
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, FromSqlRow)]
pub struct Uncached<T>(Option<T>);

/// What is said where a value is needed and not there.
pub(crate) const NOT_LOADED: &str = "the value is not loaded, because a lookup through the cache leaves it out; load the \
    row with `refresh(&mut db)`, or assign a value";

impl<T> Uncached<T> {
    /// A value that is not loaded, as a lookup through the cache leaves it.
    #[must_use]
    pub const fn not_loaded() -> Self {
        Self(None)
    }

    /// The value; `None` where it is not loaded. [`Tracked::loaded`](crate::Tracked::loaded) has an error instead.
    #[must_use]
    pub const fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// The value, to be modified; `None` where it is not loaded.
    #[must_use]
    pub const fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }

    /// The value itself; `None` where it is not loaded.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.0
    }

    /// Whether the value is there.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        self.0.is_some()
    }
}

impl<T> Default for Uncached<T> {
    /// Not loaded.
    fn default() -> Self {
        Self::not_loaded()
    }
}

impl<T> From<T> for Uncached<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl From<&str> for Uncached<String> {
    fn from(value: &str) -> Self {
        Self(Some(value.into()))
    }
}

impl<T> fmt::Debug for Uncached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_loaded() { "Uncached(…)" } else { "Uncached(not loaded)" })
    }
}

/// It takes no bytes in an entry. That it has no `Serialize` keeps whatever contains it out as well.
impl<T: 'static> Cacheable for Uncached<T> {
    fn encode(&self, _out: &mut Encoder) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(_input: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Self::not_loaded())
    }
}
