//! Every statement, and why it is written so.
//!
//! MySQL and TiDB take the same text:
//! - `ON DUPLICATE KEY UPDATE` with `VALUES()`: the newer `AS new` form is parsed by TiDB and not bound.
//! - Each column is guarded by the version, and `version` is assigned LAST: MySQL assigns from left to right,
//!   and a version that is assigned first makes every later guard compare it with itself.
//! - VARBINARY: keys and bodies are compared and sorted as bytes, no collation pads or folds them. And not
//!   BLOB: InnoDB reads those one by one, with an allocation each.
//! - BIGINT microseconds: DATETIME rounds. No floats: they print differently. No JSON columns: they reorder keys.
//! - `ENGINE=InnoDB`: the cursor moves in the rows' transaction, so there must be transactions. TiDB ignores it.
//! - Range digests: SHA-2 per row over a text in which each field ends (CONCAT_WS would skip NULLs and lose
//!   the ends), then SHA-2 over all of them in the order of the keys by GROUP_CONCAT. A CRC, or a XOR or a sum
//!   of whatever, cancels out when values change places. GROUP_CONCAT truncates silently: its length is asked
//!   for too and compared with the number of rows.
//!
//! SQLite gets the same tables and an upsert of its own. It has no SHA-2, and its file is read at the speed of
//! the disk, so the rows of a range are hashed here.

/// Rows of one `INSERT`; `store::session` writes batches in pieces of these sizes, so that few statements are
/// prepared.
pub const INSERT_ROWS: [usize; 3] = [128, 16, 1];

/// Rows of one range digest at most: `GROUP_CONCAT` holds 64 digits for each.
pub const DIGEST_ROWS_MAX: u64 = 8_192;

/// One step of the schema.
pub struct Step {
    pub name: &'static str,
    /// A release that does not know it goes on beside it. A step that is not may only follow once no such
    /// release runs any more.
    pub additive: bool,
    /// Each can run twice: MySQL commits a table at once, and a step that was interrupted begins again.
    pub mysql: &'static [&'static str],
    pub sqlite: &'static [&'static str],
}

/// Step n of the schema is `STEPS[n - 1]`. Never change one that was released; add.
pub const STEPS: &[Step] = &[PROFILES, GAMES];

const PROFILES: Step = Step {
    name: "player_snapshots, snapshot_cursors",
    additive: true,
    mysql: &[
        "CREATE TABLE IF NOT EXISTS player_snapshots (
            player_id VARBINARY(64) NOT NULL,
            version BIGINT NOT NULL,
            deleted TINYINT NOT NULL,
            body VARBINARY(16000) NOT NULL,
            sha256 VARBINARY(32) NOT NULL,
            written_at_us BIGINT NOT NULL,
            PRIMARY KEY (player_id)
        ) ENGINE=InnoDB",
        "CREATE TABLE IF NOT EXISTS snapshot_cursors (
            source VARBINARY(64) NOT NULL,
            position BIGINT NOT NULL,
            newest BIGINT NOT NULL,
            PRIMARY KEY (source)
        ) ENGINE=InnoDB",
    ],
    sqlite: &[
        "CREATE TABLE IF NOT EXISTS player_snapshots (
            player_id BLOB NOT NULL PRIMARY KEY,
            version INTEGER NOT NULL,
            deleted INTEGER NOT NULL,
            body BLOB NOT NULL,
            sha256 BLOB NOT NULL,
            written_at_us INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS snapshot_cursors (
            source BLOB NOT NULL PRIMARY KEY,
            position INTEGER NOT NULL,
            newest INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID",
    ],
};

/// Whole games: each is read once, after a disaster, so MEDIUMBLOB does.
const GAMES: Step = Step {
    name: "game_snapshots",
    additive: true,
    mysql: &["CREATE TABLE IF NOT EXISTS game_snapshots (
            game_id VARBINARY(64) NOT NULL,
            version BIGINT NOT NULL,
            deleted TINYINT NOT NULL,
            body MEDIUMBLOB NOT NULL,
            sha256 VARBINARY(32) NOT NULL,
            written_at_us BIGINT NOT NULL,
            PRIMARY KEY (game_id)
        ) ENGINE=InnoDB"],
    sqlite: &["CREATE TABLE IF NOT EXISTS game_snapshots (
            game_id BLOB NOT NULL PRIMARY KEY,
            version INTEGER NOT NULL,
            deleted INTEGER NOT NULL,
            body BLOB NOT NULL,
            sha256 BLOB NOT NULL,
            written_at_us INTEGER NOT NULL
        ) STRICT"],
};

/// A table of snapshots, and the column of its key.
#[derive(Clone, Copy)]
pub struct Table {
    name: &'static str,
    key: &'static str,
}

pub const PLAYERS_TABLE: Table = Table {
    name: "player_snapshots",
    key: "player_id",
};

pub const GAMES_TABLE: Table = Table {
    name: "game_snapshots",
    key: "game_id",
};

/// Columns that this program reads or writes.
pub const COLUMNS: [(&str, &[&str]); 3] = [
    (
        "player_snapshots",
        &[
            "player_id",
            "version",
            "deleted",
            "body",
            "sha256",
            "written_at_us",
        ],
    ),
    ("snapshot_cursors", &["source", "position", "newest"]),
    (
        "game_snapshots",
        &["game_id", "version", "deleted", "body", "sha256", "written_at_us"],
    ),
];

/// What one kind of database is told. Parameters are `?` everywhere.
pub struct Sql {
    pub begin: &'static str,
    pub steps_table: &'static str,
    pub add_step: &'static str,
    /// Of the table whose name is the parameter.
    pub columns: &'static str,
    pub add_cursor: &'static str,
    /// With the names of the table and its key left out.
    insert_on_conflict: &'static str,
    /// Count, digest, digits that the digest is of, broken rows. `None`: hash the rows here.
    pub summary: Option<&'static str>,
}

pub const MYSQL: Sql = Sql {
    begin: "BEGIN",
    steps_table: "CREATE TABLE IF NOT EXISTS snapshot_steps (
            step BIGINT NOT NULL,
            name VARBINARY(255) NOT NULL,
            additive TINYINT NOT NULL,
            PRIMARY KEY (step)
        ) ENGINE=InnoDB",
    add_step: "INSERT IGNORE INTO snapshot_steps (step, name, additive) VALUES (?, ?, ?)",
    // Cast, since some servers answer it as text and some as bytes.
    columns: "SELECT CAST(column_name AS BINARY) FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = ?",
    add_cursor: "INSERT IGNORE INTO snapshot_cursors (source, position, newest) VALUES (?, 0, 0)",
    insert_on_conflict: " ON DUPLICATE KEY UPDATE
        deleted = IF(VALUES(version) > version, VALUES(deleted), deleted),
        body = IF(VALUES(version) > version, VALUES(body), body),
        sha256 = IF(VALUES(version) > version, VALUES(sha256), sha256),
        written_at_us = IF(VALUES(version) > version, VALUES(written_at_us), written_at_us),
        version = IF(VALUES(version) > version, VALUES(version), version)",
    summary: Some(
        "SELECT COUNT(*),
            CAST(COALESCE(SHA2(GROUP_CONCAT(digest ORDER BY player_id SEPARATOR ''), 256), SHA2('', 256)) AS BINARY),
            CAST(COALESCE(LENGTH(GROUP_CONCAT(digest ORDER BY player_id SEPARATOR '')), 0) AS SIGNED),
            COUNT(CASE WHEN broken THEN 1 END)
        FROM (
            SELECT player_id,
                SHA2(CONCAT(HEX(player_id), ':', version, ':', deleted, ':', written_at_us, ':', HEX(sha256), ':',
                    SHA2(body, 256)), 256) AS digest,
                (sha256 <> UNHEX(SHA2(body, 256)) OR NOT (deleted = 0 OR (deleted = 1 AND LENGTH(body) = 0))) AS broken
            FROM player_snapshots WHERE player_id >= ? AND player_id < ?
        ) AS hashed",
    ),
};

pub const SQLITE: Sql = Sql {
    begin: "BEGIN IMMEDIATE",
    steps_table: "CREATE TABLE IF NOT EXISTS snapshot_steps (
            step INTEGER NOT NULL PRIMARY KEY,
            name BLOB NOT NULL,
            additive INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID",
    add_step: "INSERT OR IGNORE INTO snapshot_steps (step, name, additive) VALUES (?, ?, ?)",
    columns: "SELECT CAST(name AS BLOB) FROM pragma_table_info(CAST(? AS TEXT))",
    add_cursor: "INSERT OR IGNORE INTO snapshot_cursors (source, position, newest) VALUES (?, 0, 0)",
    insert_on_conflict: " ON CONFLICT ({key}) DO UPDATE SET
        deleted = excluded.deleted, body = excluded.body, sha256 = excluded.sha256,
        written_at_us = excluded.written_at_us, version = excluded.version
        WHERE excluded.version > {table}.version",
    summary: None,
};

impl Sql {
    /// Writes `rows` rows, each only over an older version.
    pub fn insert(&self, table: Table, rows: usize) -> String {
        let Table { name, key } = table;
        let values = ["(?, ?, ?, ?, ?, ?)"].repeat(rows).join(", ");
        let on_conflict = self
            .insert_on_conflict
            .replace("{key}", key)
            .replace("{table}", name);
        format!(
            "INSERT INTO {name} ({key}, version, deleted, body, sha256, written_at_us) VALUES {values}{on_conflict}"
        )
    }
}

pub const STEPS_DONE: &str = "SELECT step, additive FROM snapshot_steps ORDER BY step";
pub const CURSOR: &str = "SELECT position, newest FROM snapshot_cursors WHERE source = ?";
/// Moves the cursor only from where the copier believes it to be: of two copiers of one store, one finds
/// nothing to change and asks again. First in its transaction, so that it also locks the row.
pub const MOVE_CURSOR: &str =
    "UPDATE snapshot_cursors SET position = ?, newest = ? WHERE source = ? AND position = ?";
pub const COUNT: &str = "SELECT COUNT(*) FROM player_snapshots";
pub const PAGE: &str = "SELECT player_id, version, deleted, body, sha256, written_at_us FROM player_snapshots
    WHERE player_id >= ? AND player_id < ? ORDER BY player_id LIMIT ?";
pub const KEY_AT: &str = "SELECT player_id FROM player_snapshots
    WHERE player_id >= ? AND player_id < ? ORDER BY player_id LIMIT 1 OFFSET ?";
/// A repair changes the very row that was seen, or nothing.
pub const REPLACE: &str = "UPDATE player_snapshots
    SET version = ?, deleted = ?, body = ?, sha256 = ?, written_at_us = ?
    WHERE player_id = ? AND version = ? AND deleted = ? AND body = ? AND sha256 = ? AND written_at_us = ?";
/// Games, those that are over among them, in the order of their keys.
pub const GAMES_PAGE: &str =
    "SELECT game_id, version, deleted, body, sha256, written_at_us FROM game_snapshots
    WHERE game_id > ? ORDER BY game_id LIMIT ?";
/// What is left of games that ended before.
pub const FORGET_GAMES: &str = "DELETE FROM game_snapshots WHERE deleted = 1 AND written_at_us < ?";
