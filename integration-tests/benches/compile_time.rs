//! What the derive costs the compiler beside Diesel's own on the same 100 structs.
//!
//! `cargo bench -p integration-tests --bench compile_time`
//!
//! Three crates with the same tables: without models, with Diesel's `Queryable`, `Selectable` and `AsChangeset`, and
//! with `SentryModel`. Each is compiled in turns; what is printed is the time that the models add, ours by Diesel's,
//! as the median of the rounds. Times are those of the processor, because others may use the machine too.
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const MODELS: usize = 100;
const ROUNDS: usize = 5;
/// What the design allows.
const BAR: f64 = 1.00;

fn main() {
    let place = tempfile::tempdir().unwrap();
    let variants = [Variant::Bare, Variant::Diesel, Variant::Ours];
    for variant in variants {
        variant.write(place.path());
        // The dependencies, which are not measured.
        variant.compile(place.path(), "check");
        variant.compile(place.path(), "build");
    }
    println!("{MODELS} models of 12 fields{:>20}{:>8}", "ratio", "bar");
    for command in ["check", "build"] {
        let mut ratios: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let [bare, diesel, ours] = variants.map(|variant| variant.compile(place.path(), command));
                (ours - bare) / (diesel - bare)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("cargo {command:<34}{:>6.2}x{BAR:>7.2}x", ratios[ROUNDS / 2]);
    }
}

#[derive(Clone, Copy)]
enum Variant {
    Bare,
    Diesel,
    Ours,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Diesel => "diesels",
            Self::Ours => "ours",
        }
    }

    /// A crate of its own that shares the dependencies.
    fn write(self, place: &Path) {
        let (root, krate) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), place.join(self.name()));
        fs::create_dir_all(krate.join("src")).unwrap();
        let runtime = root.join("model-runtime").canonicalize().unwrap();
        let manifest = format!(
            "[package]\nname = \"{}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
             model-runtime = {{ path = \"{}\" }}\ndiesel = {{ version = \"2.3\", features = [\"sqlite\", \"chrono\"] }}\n\
             chrono = \"0.4\"\n",
            self.name(),
            runtime.display(),
        );
        fs::write(krate.join("Cargo.toml"), manifest).unwrap();
        fs::copy(root.join("Cargo.lock"), krate.join("Cargo.lock")).unwrap();
        let models: String = (0..MODELS).map(|n| table(n) + &self.model(n)).collect();
        fs::write(krate.join("src/lib.rs"), format!("#![allow(unused)]\nuse diesel::prelude::*;\n{models}"))
            .unwrap();
    }

    fn model(self, n: usize) -> String {
        let (derives, cache, bounded, auto_now) = match self {
            Self::Bare => return String::new(),
            Self::Diesel => ("Queryable, Selectable, AsChangeset", "", "", ""),
            Self::Ours => {
                ("model_runtime::SentryModel", "#[cache_fields(slug)]", "#[bounded]", "#[auto_now]")
            }
        };
        let mut out =
            format!("#[derive({derives})]\n#[diesel(table_name = t{n})]\n{cache}\npub struct M{n} {{\n");
        for (field, ty) in FIELDS.map(|(field, _, ty)| (field, ty)) {
            let attribute = match field {
                "a" | "b" => bounded,
                "updated" => auto_now,
                _ => "",
            };
            let _ = writeln!(out, "{attribute} pub {field}: {ty},");
        }
        out + "}\n"
    }

    /// Compiles the crate anew; the seconds of processor time that it took.
    fn compile(self, place: &Path, command: &str) -> f64 {
        let (krate, before) = (place.join(self.name()), children_seconds());
        let source = krate.join("src/lib.rs");
        let text = fs::read(&source).unwrap();
        fs::write(&source, text).unwrap();
        let done = Command::new(env!("CARGO"))
            .args([command, "--quiet", "--offline", "--target-dir"])
            .arg(place.join("target"))
            .current_dir(krate)
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
        children_seconds() - before
    }
}

const FIELDS: [(&str, &str, &str); 12] = [
    ("id", "Integer", "i32"),
    ("slug", "Text", "String"),
    ("name", "Text", "String"),
    ("note", "Nullable<Text>", "Option<String>"),
    ("a", "Integer", "i32"),
    ("b", "BigInt", "i64"),
    ("c", "SmallInt", "i16"),
    ("ratio", "Double", "f64"),
    ("active", "Bool", "bool"),
    ("maybe", "Nullable<Integer>", "Option<i32>"),
    ("added", "Timestamp", "chrono::NaiveDateTime"),
    ("updated", "Timestamp", "chrono::NaiveDateTime"),
];

fn table(n: usize) -> String {
    let columns: Vec<_> = FIELDS.iter().map(|(field, sql, _)| format!("{field} -> {sql}")).collect();
    let columns = columns.join(", ");
    format!("diesel::table! {{ t{n} (id) {{ {columns} }} }}\n")
}

/// The processor time of all processes that this one has waited for, from `/proc`.
fn children_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program may hold anything, and ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system time of waited-for children: fields 16 and 17, of which two stand before the parenthesis.
    let ticks: f64 = fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / TICKS_PER_SECOND
}
