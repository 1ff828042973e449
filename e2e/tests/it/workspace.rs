//! What ARCHITECTURE.md and the contributors' rules claim about the workspace, compared with the
//! workspace itself.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::common::root;

/// `crate -> its crates of this workspace`, from the fenced block in ARCHITECTURE.md.
fn allowed_edges() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, rest) = text
        .split_once("```edges\n")
        .expect("ARCHITECTURE.md has a block ```edges");
    let (block, _) = rest.split_once("```").expect("the block ends");
    block
        .lines()
        .map(|line| {
            let (from, to) = line
                .split_once("->")
                .unwrap_or_else(|| panic!("not an edge: {line:?}"));
            (
                from.trim().to_owned(),
                to.split_whitespace().map(str::to_owned).collect(),
            )
        })
        .collect()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// The edges that the manifests really have, dev-dependencies left out: tests may look anywhere.
fn real_edges(metadata: &serde_json::Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut edges = BTreeMap::new();
    for package in packages {
        let to: BTreeSet<String> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| ours.contains(name))
            .map(str::to_owned)
            .collect();
        if !to.is_empty() {
            edges.insert(package["name"].as_str().expect("name").to_owned(), to);
        }
    }
    edges
}

#[test]
fn crates_depend_on_each_other_only_as_architecture_md_allows() {
    assert_eq!(
        real_edges(&metadata()),
        allowed_edges(),
        "left: Cargo.toml files; right: ARCHITECTURE.md"
    );
}

#[test]
fn every_crate_takes_the_workspace_lints_and_licence() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let path = package["manifest_path"].as_str().expect("manifest_path");
        let manifest = std::fs::read_to_string(path).expect("manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{path}: [lints] workspace = true is missing"
        );
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{path}");
    }
}

#[test]
fn pure_crates_ban_clocks_and_files() {
    for folder in [
        "game/rules",
        "game/matchmaking",
        "game/history",
        "launch/plan",
        "edge/transcode",
    ] {
        let path = root().join(folder).join("clippy.toml");
        let bans =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for banned in [
            "std::time::SystemTime::now",
            "std::time::Instant::now",
            "std::fs::",
            "std::env::var",
        ] {
            assert!(
                bans.contains(banned),
                "{}: {banned} is not banned",
                path.display()
            );
        }
        // A clippy.toml in a crate replaces the one of the workspace.
        assert!(
            bans.contains("allow-unwrap-in-tests = true"),
            "{}: repeat the shared settings",
            path.display()
        );
    }
}

/// Every Rust, Markdown, YAML and shell file that git knows.
fn tracked_texts() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files"])
        .current_dir(root())
        .output()
        .expect("git starts");
    assert!(
        output.status.success(),
        "git ls-files failed: run the tests in a git checkout"
    );
    String::from_utf8(output.stdout)
        .expect("paths are UTF-8")
        .lines()
        .filter(|path| {
            [".rs", ".md", ".yaml", ".toml", ".proto", ".js"]
                .iter()
                .any(|end| path.ends_with(end))
        })
        // A file that is being removed is known to git and not there.
        .filter_map(|path| Some((path.to_owned(), std::fs::read_to_string(root().join(path)).ok()?)))
        .collect()
}

#[test]
fn no_unfinished_marks_are_left_in_the_code() {
    // Put together here, so that this file does not find itself. A test may be left out of the
    // plain run if it says why; one that is only silenced may not.
    let marks = [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!("),
        concat!("#[ig", "nore]"),
    ];
    let found: Vec<String> = tracked_texts()
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .flat_map(|(path, text)| {
            text.lines().enumerate().filter_map(move |(index, line)| {
                marks
                    .iter()
                    .find(|mark| line.contains(**mark))
                    .map(|mark| format!("{path}:{}: {mark}", index + 1))
            })
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in tracked_texts().iter().filter(|(path, _)| path.ends_with(".md")) {
        let folder = root()
            .join(path)
            .parent()
            .expect("a file has a folder")
            .to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            if !folder.join(file).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}
