//! The script is one, whatever the router calls its sides.

use std::process::{Command, Stdio};

use starvault_testing::program;
use tminus_packages::{GatewaySplit, rollback_script};

fn split(canary: &str) -> GatewaySplit {
    GatewaySplit {
        admin: "http://127.0.0.1:8081".to_owned(),
        stable: ("stable".to_owned(), "v1.2".to_owned(), "70".to_owned()),
        canary: (canary.to_owned(), "v1.3".to_owned(), "30".to_owned()),
        at: "2026-11-28 21:00:00 UTC".to_owned(),
    }
}

/// What a shell makes of the script's words: `curl` is replaced by something that prints its arguments, and answers with these
/// weights.
fn run(script: &str, weights: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rollback.sh");
    std::fs::write(&file, script).unwrap();
    let curl = folder.path().join("curl");
    std::fs::write(
        &curl,
        "#!/bin/sh\nfor word; do printf '[%s]' \"$word\" >&2; done\necho >&2\ncase \"$*\" in *drain*|*PUT*) ;; *) cat \"$(dirname \"$0\")/weights\" ;; esac\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("weights"), weights).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let output = Command::new(program("sh", "dash"))
        .arg(&file)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output.status.success(), text)
}

/// What the gateway says afterwards, with this weight of `canary`.
fn weights(canary: &str) -> String {
    format!("{{ \"default\": {{ \"stable\": 100, \"canary\": {canary} }} }}")
}

#[test]
fn it_moves_the_weight_drains_and_looks() {
    let (ok, said) = run(&rollback_script(&split("canary"), "l-1"), &weights("0"));
    assert!(ok, "{said}");
    for part in [
        "[PUT]",
        "[{\"stable\":100,\"canary\":0}][http://127.0.0.1:8081/weights]",
        "[POST][http://127.0.0.1:8081/backends/canary/drain]",
        "rolled back:",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn it_says_so_when_the_gateway_did_not_follow() {
    for weight in ["30", "0.5", "0.01", "100"] {
        let (ok, said) = run(&rollback_script(&split("canary"), "l-1"), &weights(weight));
        assert!(!ok && said.contains("NOT rolled back"), "{weight}: {said}");
    }
    let (ok, said) = run(&rollback_script(&split("canary"), "l-1"), &weights("0.0"));
    assert!(ok, "{said}");
}

#[test]
fn names_and_ids_cannot_become_commands() {
    let evil = "c'; touch /tmp/owned; '$(id)`id`\"";
    let mut split = split(evil);
    split.stable.1 = "v1\nrm -rf /".to_owned();
    split.admin = "http://127.0.0.1:1}; touch /tmp/owned; ${X:-".to_owned();
    let (_, said) = run(&rollback_script(&split, "l\n touch /tmp/owned"), &weights("0"));
    assert!(!said.contains("uid="), "{said}");
    assert!(!std::path::Path::new("/tmp/owned").exists());
}
