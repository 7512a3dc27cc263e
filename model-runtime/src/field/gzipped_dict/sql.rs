//! Reading from and binding to text and binary columns, on every backend that has them.
use std::fmt::Debug;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{Binary, Text};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::GzippedDict;

impl<T, DB> ToSql<Text, DB> for GzippedDict<T>
where
    T: Serialize + Debug,
    DB: Backend,
    str: ToSql<Text, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        <str as ToSql<Text, DB>>::to_sql(self.as_text()?, out)
    }
}

impl<T, DB> ToSql<Binary, DB> for GzippedDict<T>
where
    T: Serialize + Debug,
    DB: Backend,
    [u8]: ToSql<Binary, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        <[u8] as ToSql<Binary, DB>>::to_sql(self.as_bytes()?, out)
    }
}

impl<T, DB> FromSql<Text, DB> for GzippedDict<T>
where
    T: DeserializeOwned + Default,
    DB: Backend,
    String: FromSql<Text, DB>,
{
    fn from_sql(stored: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::from_text(<String as FromSql<Text, DB>>::from_sql(stored)?)?)
    }
}

impl<T, DB> FromSql<Binary, DB> for GzippedDict<T>
where
    T: DeserializeOwned + Default,
    DB: Backend,
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(stored: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::from_bytes(<Vec<u8> as FromSql<Binary, DB>>::from_sql(stored)?)?)
    }
}
