//! `macro_rules!` passes fragments in invisible groups and gives names another hygiene.
use diesel::prelude::*;
use model_runtime::prelude::*;

mod schema {
    diesel::table! {
        hosts (id) { id -> Integer, name -> Text, load -> Integer, seen -> Timestamp }
    }
}

macro_rules! model {
    ($model:ident, $table:path, $name:ident: $ty:ty, $min:literal, $max:expr, $start:expr) => {
        #[derive(Queryable, Selectable, SentryModel)]
        #[diesel(table_name = $crate::schema::hosts)]
        #[cache_fields($name, ttl = "5m")]
        #[sane_repr($name)]
        struct $model {
            #[bounded(auto)]
            id: i32,
            $name: $ty,
            #[bounded(min = $min, max = $max)]
            #[default($start)]
            load: i32,
            #[auto_now]
            seen: chrono::NaiveDateTime,
        }
    };
}

model!(Host, schema::hosts, name: String, -5, 100, 2 + 3);
model!(Server, schema::hosts, name: std::string::String, 0, 10, -0);

fn main() {
    let _ = Host::create().name("a").load(5);
    let _ = Server::create().name("a");
}
