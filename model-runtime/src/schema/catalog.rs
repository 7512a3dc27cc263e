//! How each database is asked about a table.

/// Where a database keeps what it knows about a table, and which of its types hold which of Diesel's.
///
/// In the texts `{table}` stands for the table's quoted name as a text, `{schema}` and `{name}` for its parts, and
/// `{ident}` for the name as SQL. Every column that they select is a text.
#[derive(Debug, Clone, Copy)]
pub struct Catalog {
    /// A column's name, its type, `YES` where it may be NULL, and how many fractional digits a timestamp has.
    pub columns: &'static str,
    /// A unique key's name, one of its columns, and the expression that stands in its place.
    pub unique_keys: &'static str,
    /// Texts with the CHECKs of the table in their last column.
    pub checks: (&'static str, usize),
    /// Diesel's SQL types, and the types that hold them.
    pub types: &'static [(&'static str, &'static [&'static str])],
    /// Whether a type's name is one of `types`, or has one of them in it.
    pub exact_types: bool,
    /// Whether SMALLINT, INTEGER and BIGINT refuse what is outside of their range.
    pub keeps_integer_ranges: bool,
    /// Whether a CHECK can be added to a table.
    pub adds_checks: bool,
    /// How many fractional digits a timestamp has where its type does not say.
    pub timestamp_digits: u32,
    /// How keys are stored for the cache.
    pub outbox: Outbox,
}

/// How a database stores the keys of touched rows, for `outage = "outbox"` and for SQL from outside.
#[derive(Debug, Clone, Copy)]
pub struct Outbox {
    /// Makes the table.
    pub table: &'static str,
    /// Makes the trigger `{trigger}` that stores `{values}` after each `{event}` on `{table}`.
    pub trigger: &'static str,
    /// Makes the trigger `{trigger}` that stores what `{selects}` finds before each `{event}` on `{table}`, where rows that
    /// it replaces fire no other.
    pub replaced: Option<&'static str>,
    /// The type of a text in a CAST.
    pub text: &'static str,
    /// The text of `{value}`, as its field reads it; NULL for NULL.
    pub written: &'static str,
    /// The text by which `{value}` is found, where that may be another one: absence is known under it.
    pub compared: Option<&'static str>,
    /// `{text}` with the letters A to Z alone as a to z, whatever the locale. Without it they are replaced one by one.
    pub folded: Option<&'static str>,
    /// What stands before, between and behind texts that are joined.
    pub joined: (&'static str, &'static str, &'static str),
    /// Whether a CAST of a UUID is its text.
    pub uuid_is_text: bool,
    /// Locks the rows that a SELECT reads, past those that another sweep has locked.
    pub skip_locked: &'static str,
}

/// Of SQLite.
#[cfg(feature = "sqlite")]
pub(crate) static SQLITE: Catalog = Catalog {
    columns: "SELECT name, type, CASE WHEN \"notnull\" = 1 OR pk > 0 THEN 'NO' ELSE 'YES' END, NULL \
            FROM pragma_table_info({name}, COALESCE({schema}, 'main'))",
    unique_keys: "SELECT l.name, x.name, (SELECT s.sql FROM sqlite_schema AS s \
            WHERE s.type = 'index' AND s.name = l.name AND x.name IS NULL) \
            FROM pragma_index_list({name}, COALESCE({schema}, 'main')) AS l, pragma_index_xinfo(l.name) AS x \
            WHERE l.\"unique\" = 1 AND l.partial = 0 AND x.key = 1 \
            UNION ALL SELECT '', name, NULL FROM pragma_table_info({name}, COALESCE({schema}, 'main')) WHERE pk > 0 \
            ORDER BY 1",
    checks: ("SELECT sql FROM sqlite_schema WHERE tbl_name = {name} AND type IN ('table', 'trigger')", 1),
    types: &[
        ("SmallInt", &["smallint", "int"]),
        ("Integer", &["integer", "int"]),
        ("BigInt", &["bigint", "int"]),
        ("Float", &["float", "real", "doub"]),
        ("Double", &["double", "real", "floa"]),
        ("Text", &["text", "char", "clob"]),
        ("Binary", &["blob"]),
        ("Bool", &["boolean", "bool", "int"]),
        ("Date", &["date", "text"]),
        ("Time", &["time", "text"]),
        ("Timestamp", &["timestamp", "datetime", "text"]),
    ],
    exact_types: false,
    keeps_integer_ranges: false,
    adds_checks: false,
    timestamp_digits: 6,
    outbox: Outbox {
        table: "CREATE TABLE model_cache_outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL, \
            created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);",
        trigger: "CREATE TRIGGER {trigger} AFTER {event} ON {table} BEGIN \
            INSERT INTO model_cache_outbox (entry) VALUES {values}; END;",
        // `INSERT OR REPLACE` deletes the rows in its way, and says so to recursive triggers alone.
        replaced: Some(
            "CREATE TRIGGER {trigger} BEFORE {event} ON {table} BEGIN \
            INSERT INTO model_cache_outbox (entry) {selects}; END;",
        ),
        text: "TEXT",
        written: "CAST({value} AS TEXT)",
        compared: None,
        folded: None,
        joined: ("", " || ", ""),
        uuid_is_text: false,
        skip_locked: "",
    },
};

/// Of PostgreSQL.
#[cfg(feature = "postgres_backend")]
pub(crate) static POSTGRES: Catalog = Catalog {
    columns: "SELECT a.attname::text, COALESCE(b.typname, t.typname)::text, \
            CASE WHEN a.attnotnull OR t.typnotnull THEN 'NO' ELSE 'YES' END, \
            CASE WHEN t.typname IN ('timestamp', 'timestamptz') AND a.atttypmod >= 0 THEN a.atttypmod::text END \
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
            LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype \
            WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped",
    unique_keys: "SELECT i.indexrelid::text, a.attname::text, \
            CASE WHEN k.attnum = 0 THEN pg_get_indexdef(i.indexrelid, k.place::int, true) END \
            FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) \
            LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0 \
            WHERE i.indrelid = to_regclass({table}) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
            AND k.place <= i.indnkeyatts ORDER BY 1",
    checks: (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint \
            WHERE conrelid = to_regclass({table}) AND contype = 'c' AND convalidated",
        1,
    ),
    types: &[
        ("SmallInt", &["int2"]),
        ("Integer", &["int4"]),
        ("BigInt", &["int8"]),
        ("Float", &["float4"]),
        ("Double", &["float8"]),
        ("Numeric", &["numeric"]),
        ("Text", &["text", "varchar", "bpchar", "citext", "name"]),
        ("Binary", &["bytea"]),
        ("Bool", &["bool"]),
        ("Date", &["date"]),
        ("Time", &["time"]),
        ("Timestamp", &["timestamp"]),
        ("Timestamptz", &["timestamptz"]),
        ("Uuid", &["uuid"]),
        ("Json", &["json"]),
        ("Jsonb", &["jsonb"]),
    ],
    exact_types: true,
    keeps_integer_ranges: true,
    adds_checks: true,
    timestamp_digits: 6,
    outbox: Outbox {
        table: "CREATE TABLE model_cache_outbox (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
            entry TEXT NOT NULL, created_at TIMESTAMPTZ NOT NULL DEFAULT now());",
        trigger: "CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            INSERT INTO model_cache_outbox (entry) SELECT DISTINCT entry FROM (VALUES {values}) AS keys (entry); \
            RETURN NULL; END $$;\n\
            CREATE TRIGGER {trigger} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger}();",
        replaced: None,
        text: "TEXT",
        // A CHAR is read with the spaces at its end, and compared with a text without them.
        written: "CASE WHEN {value} IS NULL THEN NULL ELSE format('%s', {value}) END",
        compared: Some("CAST({value} AS TEXT)"),
        folded: Some("translate({text}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"),
        joined: ("", " || ", ""),
        uuid_is_text: true,
        skip_locked: " FOR UPDATE SKIP LOCKED",
    },
};

/// Of MySQL and MariaDB.
#[cfg(feature = "mysql_backend")]
pub(crate) static MYSQL: Catalog = Catalog {
    columns: "SELECT column_name, column_type, is_nullable, CAST(datetime_precision AS CHAR) \
            FROM information_schema.columns \
            WHERE table_schema = COALESCE({schema}, DATABASE()) AND table_name = {name}",
    unique_keys: "SELECT s.index_name, s.column_name, NULLIF(c.generation_expression, '') \
            FROM information_schema.statistics s LEFT JOIN information_schema.columns c \
            ON c.table_schema = s.table_schema AND c.table_name = s.table_name AND c.column_name = s.column_name \
            WHERE s.table_schema = COALESCE({schema}, DATABASE()) AND s.table_name = {name} AND s.non_unique = 0 \
            ORDER BY s.index_name",
    // Names of CHECKs are not unique in MariaDB, so that `information_schema` mixes those of several tables up.
    checks: ("SHOW CREATE TABLE {ident}", 2),
    types: &[
        ("TinyInt", &["tinyint"]),
        ("SmallInt", &["smallint"]),
        ("Integer", &["int", "mediumint"]),
        ("BigInt", &["bigint"]),
        ("Float", &["float"]),
        ("Double", &["double"]),
        ("Numeric", &["decimal"]),
        ("Text", &["varchar", "char", "tinytext", "text", "mediumtext", "longtext", "enum", "json"]),
        ("Binary", &["blob", "binary", "varbinary", "tinyblob", "mediumblob", "longblob"]),
        ("Bool", &["tinyint", "bit"]),
        ("Date", &["date"]),
        ("Time", &["time"]),
        ("Timestamp", &["datetime(6)", "datetime", "timestamp"]),
        ("Datetime", &["datetime(6)", "datetime", "timestamp"]),
        ("Json", &["json", "longtext"]),
    ],
    exact_types: true,
    keeps_integer_ranges: true,
    adds_checks: true,
    timestamp_digits: 0,
    outbox: Outbox {
        // Keys have any letter, whatever the character set of the database is.
        table: "CREATE TABLE model_cache_outbox (id BIGINT AUTO_INCREMENT PRIMARY KEY, \
            entry TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6));",
        trigger: "CREATE TRIGGER {trigger} AFTER {event} ON {table} FOR EACH ROW \
            INSERT INTO model_cache_outbox (entry) VALUES {values};",
        replaced: None,
        text: "CHAR",
        written: "CAST({value} AS CHAR CHARACTER SET utf8mb4)",
        compared: None,
        folded: None,
        joined: ("CONCAT(", ", ", ")"),
        uuid_is_text: false,
        skip_locked: " FOR UPDATE SKIP LOCKED",
    },
};
