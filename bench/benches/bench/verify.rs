//! Two MariaDB servers that should hold the same million profiles and differ in 39 rows: `starvault data
//! verify` beside pt-table-sync (Debian's percona-toolkit), by its default checksums and by SHA-1, in one run.
//!
//! Among the 39 are two pairs of rows whose values of equal length changed places: a CRC is linear, so that in
//! a XOR over the CRCs of both values such a change cancels out.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::Options;
use crate::mariadb::{DATABASE, MariaDb, USER, program};
use crate::report::{Limit, Report};

#[derive(Debug, Clone, Args)]
pub struct VerifyOptions {
    #[command(flatten)]
    pub all: Options,
    /// Rows in each store.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
}

/// Like ids of players, in the order in which they were made.
const KEY: &str = "CONCAT('p-01', LPAD(LOWER(HEX(seq * 1000)), 14, '0'), RIGHT(MD5(seq), 16))";
/// Like a profile, of one length.
const BODY: &str = "CONCAT('{\"player_id\":\"', player_id, '\",\"display_name\":\"Guest ', LPAD(seq MOD 10000, 4, '0'),
    '\",\"rating\":', 1000 + seq MOD 1000, ',\"games_played\":', 100 + seq MOD 900, ',\"wins\":', 10 + seq MOD 90,
    ',\"losses\":', 10 + seq MOD 89, ',\"draws\":', seq MOD 10, ',\"skill\":{\"rating_milli\":', 1000000 + seq MOD 999999,
    ',\"deviation_milli\":', 100000 + seq MOD 89999, ',\"volatility_nano\":60000000},\"equipped\":[],\"version\":',
    10 + seq MOD 90, '}')";
/// The same rows for pt-table-sync, under keys of text and with bodies of text: keys of bytes it loses on the
/// way, and names no row at all.
const FOR_PT: &str = "rows_for_pt";

pub fn run(options: &VerifyOptions) -> anyhow::Result<Report> {
    let pt = program("pt-table-sync", "percona-toolkit")?;
    let (primary, secondary) = (MariaDb::start()?, MariaDb::start()?);
    let ours = |arguments: &[&str]| {
        let mut command = Command::new(&options.all.server);
        command
            .args(arguments)
            .args(["--primary", &primary.url(), "--secondary", &secondary.url()]);
        command
    };
    let migrated = ours(&["migrate"]).output()?;
    ensure!(
        migrated.status.success(),
        "{}",
        String::from_utf8_lossy(&migrated.stderr)
    );
    for (server, name) in [(&primary, "primary"), (&secondary, "secondary")] {
        eprintln!("filling the {name} …");
        fill(server, options.rows)?;
    }
    let planted = plant(&secondary, options.rows)?;
    for server in [&primary, &secondary] {
        copy_for_pt(server)?;
        // Into memory.
        for table in ["player_snapshots", FOR_PT] {
            server.run(&format!(
                "ANALYZE TABLE {table}; SELECT SUM(LENGTH(body)) FROM {table}"
            ))?;
        }
    }

    let mut report = Report::default();
    let mut seconds = Vec::new();
    let mut found = BTreeSet::new();
    let mut compare = |seconds: &mut Vec<f64>| -> anyhow::Result<()> {
        let began = Instant::now();
        let output = ours(&["data", "verify", "--json"]).output()?;
        seconds.push(began.elapsed().as_secs_f64());
        found =
            named(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(())
    };
    let sync = |more: &[&str]| -> anyhow::Result<(f64, usize, usize)> {
        let began = Instant::now();
        let output = Command::new(&pt)
            .args(["--print", "--no-check-slave", "--no-check-triggers"])
            // Without Chunk, the first of its list, which refuses keys that all begin with one character.
            .args(["--algorithms", "Nibble,GroupBy,Stream"])
            .args(more)
            .arg(format!(
                "h=127.0.0.1,P={},u={USER},D={DATABASE},t={FOR_PT}",
                primary.port()
            ))
            .arg(format!("h=127.0.0.1,P={}", secondary.port()))
            .output()?;
        let took = began.elapsed().as_secs_f64();
        // 2: it found differences.
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            matches!(output.status.code(), Some(0 | 2)),
            "pt-table-sync: {said}"
        );
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let statements: Vec<_> = lines.filter(|line| is_statement(line)).collect();
        let named = |id: &&String| {
            let quoted = format!("'{id}'").into_bytes();
            let names_it = |line: &&[u8]| line.windows(quoted.len()).any(|part| part == quoted);
            statements.iter().any(names_it)
        };
        Ok((took, planted.iter().filter(named).count(), statements.len()))
    };
    compare(&mut seconds)?;
    let (default_s, default_found, default_rows) = sync(&[])?;
    compare(&mut seconds)?;
    let (sha1_s, sha1_found, sha1_rows) = sync(&["--function", "SHA1"])?;
    compare(&mut seconds)?;
    let began = Instant::now();
    let digests = named(&ours(&["data", "verify", "--json", "--digests"]).output()?.stdout)?;
    let digests_s = began.elapsed().as_secs_f64();

    seconds.sort_by(f64::total_cmp);
    let ours_s = seconds[1];
    let (planted_count, rows) = (planted.len() as f64, options.rows as f64);
    let right = found.intersection(&planted).count();
    let by_digests = digests.intersection(&planted).count();
    report.add("planted", planted_count, "rows", Limit::None);
    report.add("found", right as f64, "rows", Limit::AtLeast(planted_count));
    report.add(
        "found_wrongly",
        (found.len() - right) as f64,
        "rows",
        Limit::AtMost(0.0),
    );
    report.add(
        "found_by_digests",
        by_digests as f64,
        "rows",
        Limit::AtLeast(planted_count),
    );
    report.add("found_by_pt", default_found as f64, "rows", Limit::None);
    report.add("found_by_pt_sha1", sha1_found as f64, "rows", Limit::None);
    report.add("rows_per_s", rows / ours_s, "rows/s", Limit::None);
    report.add("rows_per_s_by_digests", rows / digests_s, "rows/s", Limit::None);
    report.add("ours_s", ours_s, "s", Limit::None);
    report.add("pt_s", default_s, "s", Limit::None);
    report.add("pt_sha1_s", sha1_s, "s", Limit::None);
    report.add("ratio_vs_pt", default_s / ours_s, "times", Limit::AtLeast(1.5));
    report.add("ratio_vs_pt_sha1", sha1_s / ours_s, "times", Limit::AtLeast(4.0));
    report.note(format!(
        "pt-table-sync would rewrite {default_rows} rows, by SHA-1 {sha1_rows}; found are the planted ones among them"
    ));
    report.note(format!(
        "ours: median of {}, whole processes, wall time",
        seconds.len()
    ));
    Ok(report)
}

fn fill(server: &MariaDb, rows: u64) -> anyhow::Result<()> {
    server.run(&format!(
        "INSERT INTO player_snapshots (player_id, version, deleted, body, sha256, written_at_us)
         SELECT player_id, version, 0, body, UNHEX(SHA2(body, 256)), written_at_us FROM (
            SELECT player_id, 10 + seq MOD 90 AS version, {BODY} AS body, 1800000000000000 + seq AS written_at_us
            FROM (SELECT seq, {KEY} AS player_id FROM seq_1_to_{rows}) AS keyed
         ) AS profiles"
    ))?;
    Ok(())
}

fn copy_for_pt(server: &MariaDb) -> anyhow::Result<()> {
    server.run(&format!(
        "CREATE TABLE {FOR_PT} (
            player_id VARCHAR(64) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL PRIMARY KEY,
            version BIGINT NOT NULL, deleted TINYINT NOT NULL,
            body VARCHAR(16000) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
            sha256 VARBINARY(32) NOT NULL, written_at_us BIGINT NOT NULL);
         INSERT INTO {FOR_PT} SELECT * FROM player_snapshots"
    ))?;
    Ok(())
}

/// Makes 39 rows of the secondary differ; their ids.
fn plant(server: &MariaDb, rows: u64) -> anyhow::Result<BTreeSet<String>> {
    let mut planted = BTreeSet::new();
    let mut at = 0;
    let mut keys = |count: usize| -> anyhow::Result<Vec<String>> {
        let mut keys = Vec::new();
        for _ in 0..count {
            at += 1;
            // Spread over the table, no two in one stretch of a thousand rows.
            let seq = rows * at / 45 + at;
            let key = server.run(&format!("SELECT {}", KEY.replace("seq", &seq.to_string())))?;
            keys.push(key.trim().to_owned());
        }
        planted.extend(keys.iter().cloned());
        Ok(keys)
    };
    let listed = |keys: &[String]| {
        keys.iter()
            .map(|key| format!("'{key}'"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let update = |keys: &[String], set: &str| {
        server.run(&format!(
            "UPDATE player_snapshots SET {set} WHERE player_id IN ({})",
            listed(keys)
        ))
    };
    let missing = keys(6)?;
    server.run(&format!(
        "DELETE FROM player_snapshots WHERE player_id IN ({})",
        listed(&missing)
    ))?;
    update(&keys(6)?, "version = version - 1")?;
    update(&keys(4)?, "version = version + 1")?;
    // One character of a body.
    update(&keys(6)?, "body = INSERT(body, LENGTH(body) - 60, 1, '~')")?;
    update(&keys(3)?, "sha256 = REVERSE(sha256)")?;
    update(&keys(4)?, "written_at_us = written_at_us + 1")?;
    for (first, values) in [(keys(1)?, "body"), (keys(1)?, "body, sha256")] {
        // The next row, so that both lie in one range whatever its size.
        let first = &first[0];
        let other = server.run(&format!(
            "SELECT MIN(player_id) FROM player_snapshots WHERE player_id > '{first}'"
        ))?;
        let other = other.trim();
        let columns = values
            .split(", ")
            .map(|column| format!("a.{column} = b.{column}"))
            .collect::<Vec<_>>();
        server.run(&format!(
            "CREATE TEMPORARY TABLE pair AS SELECT * FROM player_snapshots WHERE player_id IN ('{first}', '{other}');
             UPDATE player_snapshots a JOIN pair b ON b.player_id <> a.player_id SET {}
             WHERE a.player_id IN ('{first}', '{other}')",
            columns.join(", ")
        ))?;
        planted.insert(other.to_owned());
    }
    for number in 0..6 {
        let id = format!("p-01{number:014}extra");
        server.run(&format!(
            "INSERT INTO player_snapshots SELECT '{id}', 1, 0, body, sha256, 1 FROM player_snapshots LIMIT 1"
        ))?;
        planted.insert(id);
    }
    ensure!(planted.len() == 39, "{} rows were planted", planted.len());
    Ok(planted)
}

fn named(stdout: &[u8]) -> anyhow::Result<BTreeSet<String>> {
    let report: serde_json::Value = serde_json::from_slice(stdout)?;
    let differences = report["differences"]
        .as_array()
        .context("no differences in the report")?;
    Ok(differences
        .iter()
        .filter_map(|one| one["player_id"].as_str().map(str::to_owned))
        .collect())
}

fn is_statement(line: &[u8]) -> bool {
    [b"REPLACE ".as_slice(), b"DELETE ", b"INSERT ", b"UPDATE "]
        .iter()
        .any(|verb| line.starts_with(verb))
}
