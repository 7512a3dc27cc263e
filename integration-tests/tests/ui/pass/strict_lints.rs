//! Generated code brings no warning into a crate that denies them, for models of every visibility.
#![deny(
    warnings,
    dead_code,
    missing_docs,
    missing_debug_implementations,
    private_bounds,
    private_interfaces,
    single_use_lifetimes,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications,
    clippy::all,
    clippy::pedantic
)]
#![forbid(unsafe_code)]

#[allow(missing_docs, reason = "`table!` writes none")]
mod schema {
    diesel::table! {
        hosts (id) {
            id -> Integer,
            name -> Text,
            is_active -> Bool,
            to_email -> Text,
            load -> Integer,
            added -> Timestamp,
            seen -> Timestamp,
        }
    }
}

/// Models of every visibility.
pub mod models {
    use crate::schema::hosts;
    use diesel::prelude::*;
    use model_runtime::prelude::*;

    /// A public model.
    #[derive(Debug, Queryable, Selectable, SentryModel)]
    #[diesel(table_name = hosts)]
    #[cache_fields(name, (load, name), ttl = "5m")]
    #[sane_repr(name)]
    pub struct Host {
        /// The primary key.
        #[bounded(auto)]
        pub id: i32,
        /// A unique field.
        pub name: String,
        /// A name that clippy has ideas about.
        pub is_active: bool,
        /// Another one.
        #[default("nobody")]
        pub to_email: String,
        /// A bounded field.
        #[bounded(min = -10, max = 10)]
        #[default(1)]
        pub load: i32,
        /// Set on create.
        #[auto_now_add]
        pub added: chrono::NaiveDateTime,
        /// Set on every write.
        #[auto_now]
        pub seen: chrono::NaiveDateTime,
    }

    // Without Diesel's derives: they repeat the path, and `unused_qualifications` sees it.
    #[derive(SentryModel)]
    #[diesel(table_name = crate::schema::hosts)]
    #[cache_fields()]
    pub(crate) struct Inner {
        id: i32,
        #[bounded]
        load: i32,
    }

    #[derive(Queryable, Selectable, SentryModel)]
    #[diesel(table_name = hosts)]
    pub(super) struct Outer {
        id: i32,
        #[bounded(positive)]
        load: i32,
    }

    #[derive(Queryable, Selectable, SentryModel)]
    #[diesel(table_name = hosts)]
    struct Private {
        id: i32,
        load: i32,
    }

    /// Uses one setter; the others are unused, and no warning says so.
    pub fn use_them() {
        let _ = (Inner::create().id(1), Outer::create().id(1), Private::create().id(1));
    }
}

fn main() {
    models::use_them();
}
