//! Generated code means what it says, whatever the user's scope has under the names of the prelude.
mod schema {
    diesel::table! {
        hosts (id) {
            id -> Integer,
            name -> Text,
            load -> Nullable<Integer>,
            seen -> Timestamp,
        }
    }
}

mod hostile {
    // Things under the names that careless generated code would write.
    pub struct Option;
    pub struct Some;
    pub struct None;
    pub struct Result;
    pub struct Ok;
    pub struct Err;
    pub struct Default;
    pub struct Clone;
    pub struct Debug;
    pub struct FnOnce;
    pub struct From;
    pub struct Box;
    pub struct String;
    pub struct Vec;
    pub mod core {}
    pub mod model_runtime {}

    // The columns themselves: unit structs, which turn a binding of the same name into a pattern.
    use super::schema::hosts::dsl::*;

    #[derive(::diesel::Queryable, ::diesel::Selectable, ::model_runtime::SentryModel)]
    #[diesel(table_name = super::schema::hosts)]
    #[cache_fields(name, ttl = "1h30m")]
    #[sane_repr(name, load)]
    pub struct Host {
        #[bounded(auto)]
        pub id: i32,
        #[default("unnamed")]
        pub name: ::std::string::String,
        #[bounded(min = -5, max = 100)]
        #[default(::core::option::Option::Some(0))]
        pub load: ::core::option::Option<i32>,
        #[auto_now]
        pub seen: ::chrono::NaiveDateTime,
    }

    #[allow(unused)]
    fn everything_is_used() {
        let _ = (Option, Some, None, Result, Ok, Err, Default, Clone, Debug, FnOnce, From, Box, String, Vec);
        let _ = (id, name, load, seen);
    }
}

fn main() {
    use model_runtime::SentryModel as _;

    let _ = hostile::Host::create().name("a").load(5).load(None::<i32>);
    let _ = hostile::Host::create_or_update().name("a").defaults(|d| d.load(9_i64)).on_insert(|d| d.id(1));
}
