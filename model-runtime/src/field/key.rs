//! Lookup keys: which columns a cached lookup goes by, and the values it takes.
use super::{Assign, FieldOf, ToField};
use crate::cache::key::KeyText;
use crate::model::SentryModel;
use std::marker::PhantomData;

/// Whether a lookup goes by the primary key or by a unique field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupKind {
    /// The key names the row's own entry.
    PrimaryKey,
    /// The key names a pointer to the row's entry.
    Unique,
}

/// A column, or a tuple of columns, that is the primary key or listed in `#[cache_fields(…)]`.
// The orphan rule allows it for columns of foreign tables and for tuples because `M` is local.
#[diagnostic::on_unimplemented(
    message = "`{M}` has no cached lookup by `{Self}`",
    label = "neither the primary key nor listed in `#[cache_fields(..)]` of `{M}`",
    note = "add the field to `#[cache_fields(..)]`, or load it with plain Diesel"
)]
pub trait CacheKey<M> {
    /// The columns in declared order.
    type Cols: KeyTexts<Model = M>;
    /// What the key names.
    const KIND: LookupKind = LookupKind::Unique;
}

/// The column `C` as a part of a key of `M`.
// A local wrapper, so that coherence never confuses `(Col<M, A>,)` with `(Col<M, A>, Col<M, B>)`.
#[derive(Debug)]
pub struct Col<M, C>(PhantomData<fn() -> (M, C)>);

/// The columns of a key.
pub trait KeyCols: 'static {
    /// The model they belong to.
    type Model: SentryModel;
    /// One value per column.
    type Key: Clone + PartialEq + Send + Sync + 'static;
    /// The fields' places in the struct.
    const INDEXES: &'static [usize];
    /// The columns' names in the database.
    const COLUMNS: &'static [&'static str];
    /// Bit *i* is set where field *i* belongs to the key.
    const MASK: u64;

    /// The key of a row.
    fn of(row: &Self::Model) -> Self::Key;
    /// The key as assignments, which the model knows how to bind on every backend.
    fn patch(key: &Self::Key) -> <Self::Model as SentryModel>::Patch;
    /// The assignments of the key's columns alone.
    fn pick(patch: &<Self::Model as SentryModel>::Patch) -> <Self::Model as SentryModel>::Patch;
}

/// A key that has a text, as cache keys need it.
pub trait KeyTexts: KeyCols {
    /// The fields' names and the texts of their values.
    fn texts(key: &Self::Key) -> Vec<(&'static str, String)>;
    /// Whether one of the values is NULL, so that the key has no text.
    fn is_null(key: &Self::Key) -> bool;
}

fn text<T: KeyText>(value: &T) -> String {
    let mut out = String::new();
    value.write_key(&mut out);
    out
}

/// What a lookup by these columns takes: the value of a single column, a tuple for several.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key for this lookup",
    label = "one value per column: a value for a single column, a tuple for several"
)]
pub trait KeyFor<Cols: KeyCols> {
    /// The key's values in the fields' types.
    fn into_key(self) -> Cols::Key;
}

macro_rules! keys { ($(($($C:ident $i:tt),+))*) => { $(
    impl<M: SentryModel, $($C: FieldOf<M>),+> KeyCols for ($(Col<M, $C>,)+) {
        type Model = M;
        type Key = ($($C::Value,)+);
        const INDEXES: &'static [usize] = &[$($C::INDEX),+];
        const COLUMNS: &'static [&'static str] = &[$(<$C as diesel::Column>::NAME),+];
        const MASK: u64 = $(1 << $C::INDEX)|+;

        fn of(row: &M) -> Self::Key {
            ($($C::get(row).clone(),)+)
        }

        fn patch(key: &Self::Key) -> M::Patch {
            let mut patch = M::Patch::default();
            $(*$C::slot(&mut patch) = Some(Assign::Value(key.$i.clone()));)+
            patch
        }

        fn pick(patch: &M::Patch) -> M::Patch {
            let (mut all, mut picked) = (patch.clone(), M::Patch::default());
            $(*$C::slot(&mut picked) = $C::slot(&mut all).take();)+
            picked
        }
    }
    impl<M: SentryModel, $($C: FieldOf<M>),+> KeyTexts for ($(Col<M, $C>,)+)
    where
        $($C::Value: KeyText),+
    {
        fn texts(key: &Self::Key) -> Vec<(&'static str, String)> {
            vec![$(($C::FIELD, text(&key.$i))),+]
        }

        fn is_null(key: &Self::Key) -> bool {
            $(key.$i.is_null())||+
        }
    }
)* } }
keys!((A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3));

// A single column takes the bare value, several take a tuple.
impl<M: SentryModel, A: FieldOf<M>, K: ToField<A::Value>> KeyFor<(Col<M, A>,)> for K {
    fn into_key(self) -> (A::Value,) {
        (self.to_field(),)
    }
}

macro_rules! key_tuples { ($(($($C:ident $K:ident $i:tt),+))*) => { $(
    impl<M: SentryModel, $($C: FieldOf<M>, $K: ToField<$C::Value>),+> KeyFor<($(Col<M, $C>,)+)> for ($($K,)+) {
        fn into_key(self) -> ($($C::Value,)+) {
            ($(self.$i.to_field(),)+)
        }
    }
)* } }
key_tuples!((A KA 0, B KB 1) (A KA 0, B KB 1, C KC 2) (A KA 0, B KB 1, C KC 2, D KD 3));
