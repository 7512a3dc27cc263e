//! Lookup keys: which columns a cached lookup goes by, and the values it takes.
use super::{Assign, FieldOf, ToField};
use crate::cache::key::{KeyText, text_of};
use crate::model::SentryModel;
use crate::statement::Dialect;
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
    /// The SQL function that gives the normal form of a column's values, where there is one.
    const FUNCTIONS: &'static [Option<&'static str>];
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
    /// The fields' names in the text of a key.
    const NAMES: &'static [&'static str];

    /// The key's text: `field=value` of one field, `:a=1:b=2` of several.
    fn text(key: &Self::Key) -> String;
    /// The fields' names and the texts of their values, for messages.
    fn texts(key: &Self::Key) -> Vec<(&'static str, String)>;
    /// Whether one of the values is NULL: a lookup by it is not cached.
    fn is_null(key: &Self::Key) -> bool;
    /// Whether only a row that carries these very values is found by them, whatever the collation.
    fn is_exact(key: &Self::Key) -> bool;
    /// The key as `DB` stores it, which may cut times off.
    fn stored<DB: Dialect>(key: Self::Key) -> Self::Key;
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

/// One column of a key, and the form in which its values are compared.
pub trait KeyPart: 'static {
    /// The model it belongs to.
    type Model: SentryModel;
    /// The column.
    type Column: FieldOf<Self::Model>;
    /// What a cache key calls it.
    const NAME: &'static str;
    /// The SQL function that gives the normal form; without one values are compared as they are.
    const FUNCTION: Option<&'static str> = None;

    /// The value in its normal form.
    #[must_use]
    fn normal(value: PartValue<Self>) -> PartValue<Self> {
        value
    }
}

/// The type of a part's field.
pub type PartValue<P> = <<P as KeyPart>::Column as FieldOf<<P as KeyPart>::Model>>::Value;

impl<M: SentryModel, C: FieldOf<M>> KeyPart for Col<M, C> {
    type Model = M;
    type Column = C;
    const NAME: &'static str = C::FIELD;
}

macro_rules! keys { ($(($($C:ident $i:tt),+))*) => { $(
    impl<M: SentryModel, $($C: KeyPart<Model = M>),+> KeyCols for ($($C,)+) {
        type Model = M;
        type Key = ($(PartValue<$C>,)+);
        const INDEXES: &'static [usize] = &[$(<$C::Column as FieldOf<M>>::INDEX),+];
        const COLUMNS: &'static [&'static str] = &[$(<$C::Column as diesel::Column>::NAME),+];
        const FUNCTIONS: &'static [Option<&'static str>] = &[$($C::FUNCTION),+];
        const MASK: u64 = $(1 << <$C::Column as FieldOf<M>>::INDEX)|+;

        fn of(row: &M) -> Self::Key {
            ($($C::normal($C::Column::get(row).clone()),)+)
        }

        fn patch(key: &Self::Key) -> M::Patch {
            let mut patch = M::Patch::default();
            $(*$C::Column::slot(&mut patch) = Some(Assign::Value(key.$i.clone()));)+
            patch
        }

        fn pick(patch: &M::Patch) -> M::Patch {
            let (mut all, mut picked) = (patch.clone(), M::Patch::default());
            $(*$C::Column::slot(&mut picked) = $C::Column::slot(&mut all).take();)+
            picked
        }
    }
    impl<M: SentryModel, $($C: KeyPart<Model = M>),+> KeyTexts for ($($C,)+)
    where
        $(PartValue<$C>: KeyText),+
    {
        const NAMES: &'static [&'static str] = &[$($C::NAME),+];

        fn text(key: &Self::Key) -> String {
            text_of(&[$(($C::NAME, &key.$i)),+])
        }

        fn texts(key: &Self::Key) -> Vec<(&'static str, String)> {
            vec![$(($C::NAME, text(&key.$i))),+]
        }

        fn is_null(key: &Self::Key) -> bool {
            $(key.$i.is_null())||+
        }

        fn is_exact(key: &Self::Key) -> bool {
            // Rows of another normal form are left out wherever they are read.
            $($C::FUNCTION.is_some())||+ || ($(key.$i.is_exact())&&+)
        }

        fn stored<DB: Dialect>(key: Self::Key) -> Self::Key {
            match DB::KEEPS_NANOSECONDS {
                true => key,
                false => ($(key.$i.in_microseconds(),)+),
            }
        }
    }
)* } }
keys!((A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3));

// A single column takes the bare value, several take a tuple.
impl<A: KeyPart, K: ToField<PartValue<A>>> KeyFor<(A,)> for K
where
    (A,): KeyCols<Key = (PartValue<A>,)>,
{
    fn into_key(self) -> (PartValue<A>,) {
        (A::normal(self.to_field()),)
    }
}

macro_rules! key_tuples { ($(($($C:ident $K:ident $i:tt),+))*) => { $(
    impl<M: SentryModel, $($C: KeyPart<Model = M>, $K: ToField<PartValue<$C>>),+> KeyFor<($($C,)+)> for ($($K,)+) {
        fn into_key(self) -> ($(PartValue<$C>,)+) {
            ($($C::normal(self.$i.to_field()),)+)
        }
    }
)* } }
key_tuples!((A KA 0, B KB 1) (A KA 0, B KB 1, C KC 2) (A KA 0, B KB 1, C KC 2, D KD 3));
