//! Fields named like the builder's methods, like what generated code might call its variables, and like the
//! operations; their columns are in scope, where each is a unit struct.
use model_runtime::prelude::*;

mod schema {
    diesel::table! {
        odd (id) {
            id -> Integer,
            execute -> Integer,
            execute_ -> Integer,
            defaults -> Integer,
            on_insert -> Integer,
            matching -> Integer,
            all_matches -> Integer,
            update -> Integer,
            create -> Integer,
            save -> Integer,
            patch -> Integer,
            builder -> Integer,
            db -> Integer,
            value -> Integer,
            row -> Integer,
            out -> Integer,
            other -> Integer,
            mask -> Integer,
            d -> Integer,
            f -> Integer,
            clone -> Integer,
            pk -> Integer,
        }
    }
}

#[allow(unused_imports, reason = "their presence is the test")]
use schema::odd::dsl::*;

// Without Diesel's derives: `Queryable` has a variable `row`.
#[derive(SentryModel)]
#[diesel(table_name = schema::odd)]
#[cache_fields(execute, (value, db), pk)]
#[sane_repr(pk, row)]
struct Odd {
    id: i32,
    execute: i32,
    execute_: i32,
    #[default(3)]
    defaults: i32,
    #[bounded]
    on_insert: i32,
    matching: i32,
    all_matches: i32,
    update: i32,
    create: i32,
    save: i32,
    patch: i32,
    builder: i32,
    db: i32,
    #[bounded(min = 1)]
    value: i32,
    row: i32,
    out: i32,
    other: i32,
    mask: i32,
    d: i32,
    f: i32,
    clone: i32,
    pk: i32,
}

fn main() {
    let _ = Odd::create().execute__(1).execute_(2).defaults_(3).on_insert_(4_i64).update(5).create(6).save(7);
    let _ = Odd::create().matching_(1).all_matches_(2).patch(8).builder(9).db(10).value(11).row(12).out(13).other(14).mask(15);
    let _ = Odd::create_or_update().d(1).f(2).clone(3).pk(4).defaults(|x| x.defaults_(1)).on_insert(|x| x.id(1));
}
