//! Any bytes in a dict's column: broken zips, JSON and pickles.
#![no_main]
use base64::Engine;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use libfuzzer_sys::fuzz_target;
use model_runtime::prelude::*;
use std::cell::RefCell;
use std::io::Write;

diesel::table! { notes (id) { id -> Integer, text -> Text, packed -> Binary } }

#[derive(Queryable, Selectable)]
#[diesel(table_name = notes)]
struct Note {
    text: GzippedDict,
    packed: GzippedDict,
}

thread_local! {
    static CONN: RefCell<SqliteConnection> = RefCell::new(connection());
}

fn connection() -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").expect("a database in memory");
    conn.batch_execute(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, packed BLOB NOT NULL)",
    )
    .expect("a table");
    conn
}

fn read(conn: &mut SqliteConnection, stored: &[u8]) {
    let text = base64::engine::general_purpose::STANDARD.encode(stored);
    let row = (notes::id.eq(1), notes::text.eq(text), notes::packed.eq(stored));
    diesel::replace_into(notes::table).values(row).execute(conn).expect("an insert");
    if let Ok(note) = notes::table.find(1).select(Note::as_select()).first(conn) {
        let _ = (format!("{:?}", note.text), note.packed.len());
    }
}

fuzz_target!(|bytes: &[u8]| {
    CONN.with_borrow_mut(|conn| {
        read(conn, bytes);
        // And behind a zip that is whole, where JSON and pickles are read.
        let mut zip = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        if zip.write_all(bytes).is_ok()
            && let Ok(zipped) = zip.finish()
        {
            read(conn, &zipped);
        }
    });
});
