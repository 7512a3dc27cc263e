//! Any opcodes as a pickle in a dict's column; the zip around them is whole.
#![no_main]
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use libfuzzer_sys::fuzz_target;
use model_runtime::prelude::*;
use std::cell::RefCell;
use std::io::Write;

diesel::table! { notes (id) { id -> Integer, packed -> Binary } }

thread_local! {
    static CONN: RefCell<SqliteConnection> = RefCell::new(connection());
}

fn connection() -> SqliteConnection {
    let mut conn = SqliteConnection::establish(":memory:").expect("a database in memory");
    conn.batch_execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, packed BLOB NOT NULL)").expect("a table");
    conn
}

fuzz_target!(|opcodes: &[u8]| {
    // Of every protocol since the second the first two bytes are these; without them most inputs are read as JSON.
    let mut zip = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(b"\x80\x05").and_then(|()| zip.write_all(opcodes)).expect("memory");
    let row = (notes::id.eq(1), notes::packed.eq(zip.finish().expect("memory")));
    CONN.with_borrow_mut(|conn| {
        diesel::replace_into(notes::table).values(row).execute(conn).expect("an insert");
        // What is read was understood or kept; either way it can be looked at, and a dict of JSON be written.
        let read = notes::table.find(1).select(notes::packed).first::<GzippedDict>(conn);
        if let Ok(dict) = read {
            let value = serde_json::Value::from(dict.value().clone());
            assert!(serde_json::from_str::<serde_json::Value>(&value.to_string()).is_ok());
        }
    });
});
