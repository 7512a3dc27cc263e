//! Promise: the examples do what the README says, on every database and store, and explain bad input.
use integration_tests::databases::server;
use integration_tests::servers::RedisServer;
use integration_tests::stores;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;
use tempfile::TempDir;

/// How many lookups at least are hits where nothing goes wrong: of two per event, the first one, unless the path
/// is new.
const MOST: u64 = 20_000;

/// Builds an example once, as the test run has it already, and returns its executable.
fn built(example: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "model-runtime", "--all-features", "--example", example]);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(status.success(), "{example} does not build");
    // Tests are in `deps`, examples beside it.
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(example).with_extension(std::env::consts::EXE_EXTENSION)
}

fn ingest(arguments: &[&str]) -> Output {
    static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| built("ingest"));
    Command::new(&*EXAMPLE).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The number in a line of the table.
fn number(table: &str, name: &str) -> u64 {
    let line =
        table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {table}"));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

fn equals_the_oracle(arguments: &[&str], hits: u64) {
    let output = ingest(arguments);
    let (table, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{table}{errors}");
    assert!(table.contains("all 2070 groups equal the oracle"), "{table}");
    assert_eq!((number(&table, "events "), number(&table, "stale lookups")), (24_634, 0));
    assert!(number(&table, "SQL statements") > 24_634 * 3, "{table}");
    assert!(number(&table, "cache hits") > hits, "{table}");
    assert!(table.contains("1606  package.json"), "the busiest path: {table}");
    assert_eq!(errors, "", "no progress bar where nobody looks");
}

#[test]
fn the_main_job_on_the_embedded_default() {
    equals_the_oracle(&[], MOST);
}

#[test]
fn the_main_job_with_several_writers() {
    equals_the_oracle(&["--threads", "4"], MOST);
}

#[test]
fn the_main_job_on_postgres_and_redis_with_several_writers() {
    let postgres = server("TEST_DATABASE_URL_POSTGRES");
    equals_the_oracle(
        &["--threads", "4", "--database-url", &postgres, "--cache-url", &stores::redis_url()],
        MOST,
    );
}

/// Once when the job has filled some rows, and again when it has gone on.
fn with_redis_in_trouble(trouble: impl Fn(&mut RedisServer)) {
    let mut server = RedisServer::start();
    let url = server.url();
    let job = std::thread::spawn(move || {
        let arguments = ["--threads", "2", "--cache-url", &url, "--intent-lifetime", "500"];
        equals_the_oracle(&arguments, 1000);
    });
    for _ in 0..2 {
        let keys = || -> redis::RedisResult<u64> {
            let mut conn = redis::Client::open(server.url())?.get_connection()?;
            redis::cmd("DBSIZE").query(&mut conn)
        };
        while !job.is_finished() && keys().unwrap_or(0) < 200 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!job.is_finished(), "the job has ended before the trouble began");
        trouble(&mut server);
    }
    job.join().unwrap();
}

#[test]
fn the_main_job_on_mysql_with_several_writers() {
    let mysql = server("TEST_DATABASE_URL_MYSQL");
    equals_the_oracle(&["--threads", "4", "--database-url", &mysql], MOST);
}

#[test]
fn the_main_job_with_redis_killed_in_mid_run() {
    with_redis_in_trouble(|server| {
        server.kill();
        std::thread::sleep(Duration::from_millis(300));
        server.restart();
    });
}

#[test]
fn the_main_job_with_redis_frozen_in_mid_run() {
    with_redis_in_trouble(|server| {
        server.freeze();
        std::thread::sleep(Duration::from_millis(600));
        server.thaw();
    });
}

#[test]
fn the_main_job_on_a_named_file_leaves_it_there() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("groups.sqlite");
    let url = format!("sqlite:{}", file.display());
    equals_the_oracle(&["--database-url", &url], MOST);
    assert!(file.exists());
    refused(&["--database-url", &url], &["exists already"]);
}

/// The run ends with an error that has all these words.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = ingest(arguments);
    let errors = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    for word in words {
        assert!(errors.contains(word), "{arguments:?}: {word:?} is missing: {errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn unreachable_servers_are_named() {
    refused(&["--cache-url", "redis://user:secret@127.0.0.1:1/"], &["127.0.0.1:1"]);
    refused(&["--cache-url", "nonsense"], &["redis://"]);
    refused(
        &["--database-url", "postgres://127.0.0.1:1/x"],
        &["cannot connect to PostgreSQL", "is the server running"],
    );
    refused(
        &["--database-url", "mysql://127.0.0.1:1/x"],
        &["cannot connect to MySQL", "is the server running"],
    );
    refused(&["--database-url", "nonsense"], &["sqlite:FILE", "postgres://"]);
    refused(&["--database-url", "sqlite:/no/such/folder/file"], &["/no/such/folder/file", "write to"]);
    refused(&["--threads", "0"], &["--threads"]);
}

#[test]
fn malformed_files_are_named_with_the_line_and_what_was_expected() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events.tsv");
    let name = file.to_str().unwrap();
    for (content, words) in [
        ("1403710614\ta\t1\t0\n1403710614\tb\t1\n", ["line 2", "expected 4 columns", "found 3"]),
        ("1403710614\ta\tone\t0\n", ["line 1", "a whole number as lines added", "\"one\""]),
        ("1403710614\ta\t1\t0\n\n", ["line 2", "expected 4 columns", "found 1"]),
    ] {
        std::fs::File::create(&file).unwrap().write_all(content.as_bytes()).unwrap();
        refused(&["--events", name], &[&[name], words.as_slice()].concat());
    }
    refused(&["--events", "/no/such/file"], &["/no/such/file", "No such file"]);
    // A gzipped file that ends too early.
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/events.tsv.gz");
    let cut = folder.path().join("cut.tsv.gz");
    std::fs::write(&cut, &std::fs::read(whole).unwrap()[..100_000]).unwrap();
    refused(&["--events", cut.to_str().unwrap()], &["cut.tsv.gz", "line 1", "cannot be read"]);
}

#[test]
fn a_difference_from_the_oracle_fails_the_run() {
    let folder = TempDir::new().unwrap();
    let groups =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/groups.tsv")).unwrap();
    let file = folder.path().join("groups.tsv");
    std::fs::write(&file, groups.replacen(".bowerrc\t3\t", ".bowerrc\t4\t", 1)).unwrap();
    refused(
        &["--groups", file.to_str().unwrap()],
        &["difference: ", ".bowerrc", "times_seen: 4", "times_seen: 3"],
    );
}

#[test]
fn help_names_every_option() {
    let help = text(&ingest(&["--help"]).stdout);
    for option in ["--database-url", "--cache-url", "--threads", "--events", "--groups"] {
        assert!(help.contains(option), "{help}");
    }
}

#[test]
fn quickstart_shows_the_contract_in_eighty_lines() {
    let output = Command::new(built("quickstart")).output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    for line in [
        "created   <Project: id=1, slug=\"pump\">",
        "changed   name, was Some(\"Pump\")",
        "counted   events = 1",
        "refused   Project.events: 9223372036854775807 is outside 0..=2147483647",
        "upserted  Updated(1)",
        "rolled back (true): 2 events, still \"Pump station\"",
        "deleted   true",
    ] {
        assert!(shown.contains(line), "{line:?} is missing: {shown}");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model-runtime/examples/quickstart.rs");
    assert!(std::fs::read_to_string(source).unwrap().lines().count() <= 80);
}
