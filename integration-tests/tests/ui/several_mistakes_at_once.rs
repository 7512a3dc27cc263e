//! Every mistake is reported in one go, and calls of what would have been generated add none.
use diesel::prelude::*;
use model_runtime::prelude::*;

diesel::table! {
    hosts (id) { id -> Integer, name -> Text, load -> Integer }
}

#[derive(Queryable, Selectable, SentryModel)]
#[diesel(table_name = hosts)]
#[cache_fields(nmae, ttl = 5)]
#[sane_repr(naem)]
struct Host {
    #[bounded(postive)]
    id: i32,
    name: String,
    #[bounded(min = 3, max = 2)]
    load: i32,
}

fn f(db: &mut Session<'_, SqliteConnection>) -> Result<(), Error> {
    let mut host = Host::create().name("a").execute(db)?;
    host.load = 3;
    host.save(db)?;
    host.update().load(F(hosts::load) + 1).execute(db)?;
    Host::create_or_update().name("a").defaults(|d| d.load(1)).execute(db)?;
    Host::get_from_cache(db, hosts::name, "a")?;
    Ok(())
}

fn main() {}
