//! OpenSSH's own clients.

use std::process::Output;

use crate::support::{House, RUNBOOK, Wishes, program, run, text};

impl House {
    fn ssh_options(&self, key: &str) -> Vec<String> {
        let here = self.dir.path();
        let host = std::process::Command::new(program("ssh-keygen", "openssh-client"))
            .args(["-y", "-f"])
            .arg(here.join("host.key"))
            .output()
            .unwrap();
        let (address, host) = (
            self.delivery.sftp.unwrap(),
            String::from_utf8(host.stdout).unwrap(),
        );
        std::fs::write(
            here.join("known_hosts"),
            format!("[127.0.0.1]:{} {host}", address.port()),
        )
        .unwrap();
        let key = here.join(format!("{key}.key"));
        [
            "-F".to_owned(),
            "/dev/null".to_owned(),
            "-P".to_owned(),
            address.port().to_string(),
            "-i".to_owned(),
            key.display().to_string(),
            "-o".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "-o".to_owned(),
            "BatchMode=yes".to_owned(),
            "-o".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "-o".to_owned(),
            format!("UserKnownHostsFile={}", here.join("known_hosts").display()),
        ]
        .into()
    }

    /// Runs a batch as the holder of a key; local files lie in `local/`.
    async fn sftp(&self, key: &str, batch: &str) -> Output {
        let here = self.dir.path();
        let local = here.join("local");
        std::fs::create_dir_all(&local).unwrap();
        let file = here.join("batch");
        std::fs::write(&file, format!("lcd {}\n{batch}\n", local.display())).unwrap();
        let mut arguments = self.ssh_options(key);
        arguments.extend([
            "-b".to_owned(),
            file.display().to_string(),
            format!("{key}@127.0.0.1"),
        ]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&program("sftp", "openssh-client"), &arguments).await
    }

    async fn scp(&self, key: &str, more: &[&str]) -> Output {
        let mut arguments = self.ssh_options(key);
        arguments.extend(more.iter().map(|one| (*one).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&program("scp", "openssh-client"), &arguments).await
    }

    fn local(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("local").join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_lists_and_gets_its_files_and_the_record_says_so() {
    let house = House::start().await;
    let done = house.sftp("ops", "ls -l\ncd sub\npwd\nls\ncd ..\nget runbook.pdf\nget -p \"sub/报告 🚀.txt\" report\nget empty.txt").await;
    let said = text(&done);
    assert!(done.status.success(), "{said}");
    assert!(
        said.contains("runbook.pdf")
            && said.contains("-r--r--r--")
            && said.contains("Remote working directory: /sub"),
        "{said}"
    );
    for hidden in ["escape.txt", "inside.pdf", "etc", "sbom", "security"] {
        assert!(!said.contains(hidden), "{hidden} is shown: {said}");
    }
    assert_eq!(std::fs::read(house.local("runbook.pdf")).unwrap(), RUNBOOK);
    assert_eq!(std::fs::read_to_string(house.local("report")).unwrap(), "中文");
    assert_eq!(std::fs::read(house.local("empty.txt")).unwrap(), b"");

    // RSA clients sign with SHA-2.
    let other = house.sftp("security", "get sbom.json").await;
    assert!(other.status.success(), "{}", text(&other));

    let recorded = house.recorded();
    let files: Vec<_> = recorded
        .iter()
        .map(|entry| (entry["role"].as_str().unwrap(), entry["file"].as_str().unwrap()))
        .collect();
    assert_eq!(
        files,
        [
            ("ops", "runbook.pdf"),
            ("ops", "sub/报告 🚀.txt"),
            ("ops", "empty.txt"),
            ("security", "sbom.json")
        ]
    );
    let first = &recorded[0];
    assert!(
        first["who"].as_str().unwrap().starts_with("key:SHA256:"),
        "{first}"
    );
    assert_eq!(
        first["sha256"],
        hex::encode(<sha2::Sha256 as sha2::Digest>::digest(RUNBOOK))
    );
    assert_eq!(
        (first["bytes"].as_u64(), &first["channel"], &first["address"]),
        (Some(RUNBOOK.len() as u64), &"sftp".into(), &"127.0.0.1".into())
    );
    let fingerprint = house.delivery.host_key_fingerprint.as_deref().unwrap();
    let told = run(
        &program("ssh-keygen", "openssh-client"),
        &["-l", "-f", house.dir.path().join("host.key").to_str().unwrap()],
    )
    .await;
    assert!(
        text(&told).contains(fingerprint),
        "{} is not {fingerprint}",
        text(&told)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_writes_leads_out_or_follows_a_link_is_denied() {
    let house = House::start().await;
    let before = tree(&house);
    std::fs::create_dir_all(house.dir.path().join("local")).unwrap();
    std::fs::write(house.local("mine.txt"), "mine".repeat(100)).unwrap();
    for command in [
        "put mine.txt",
        "put mine.txt runbook.pdf",
        "reput mine.txt runbook.pdf",
        "rm runbook.pdf",
        "rename runbook.pdf other.pdf",
        "mkdir new",
        "rmdir sub",
        "chmod 600 runbook.pdf",
        "symlink /etc/passwd passwd",
        "ln runbook.pdf hard.pdf",
        "get ../../etc/passwd",
        "get ../security/sbom.json",
        "get /../outside.txt",
        "get escape.txt",
        "get inside.pdf",
        "get etc/passwd",
        "get security/sbom.json",
        "ls etc",
        "ls ..",
        "cd ..",
        "get -r .. all",
    ] {
        let done = house.sftp("ops", command).await;
        let said = text(&done);
        assert!(!done.status.success(), "{command}: {said}");
        let is_denied = [
            "ermission denied",
            "only gives files out",
            "not found",
            "does not support",
        ]
        .iter()
        .any(|words| said.contains(words));
        assert!(is_denied, "{command}: {said}");
        assert!(!said.contains("Connection closed"), "{command}: {said}");
    }
    assert_eq!(tree(&house), before);
    let taken: Vec<_> = std::fs::read_dir(house.dir.path().join("local"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(taken, ["mine.txt"]);
    assert!(house.recorded().is_empty());
}

fn tree(house: &House) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![house.dir.path().join("packages")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_known_is_refused_and_so_is_a_shell() {
    let house = House::start().await;
    let stranger = house.sftp("stranger", "ls").await;
    assert!(
        !stranger.status.success() && text(&stranger).contains("Permission denied (publickey)"),
        "{}",
        text(&stranger)
    );
    // A wrong key before the right one is within the six that a connection may try.
    let mut arguments = house.ssh_options("stranger");
    let ops = house.dir.path().join("ops.key");
    arguments.extend([
        "-i".to_owned(),
        ops.display().to_string(),
        "-b".to_owned(),
        "/dev/null".to_owned(),
    ]);
    let arguments: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .chain(["x@127.0.0.1"])
        .collect();
    let done = run(&program("sftp", "openssh-client"), &arguments).await;
    assert!(done.status.success(), "{}", text(&done));

    let mut arguments = house.ssh_options("ops");
    arguments[2] = "-p".to_owned();
    for command in ["id", "sh -c id", "scp -t ."] {
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.extend(["ops@127.0.0.1", command]);
        let done = run(&program("ssh", "openssh-client"), &arguments).await;
        assert!(
            !done.status.success() && !text(&done).contains("uid="),
            "{command}: {}",
            text(&done)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scp_gets_a_file_by_either_of_its_protocols() {
    let house = House::start().await;
    std::fs::create_dir_all(house.dir.path().join("local")).unwrap();
    for (way, name) in [
        (&["-O"][..], "old"),
        (&["-s"], "new"),
        (&["-p", "-O"], "times"),
        (&[], "default"),
    ] {
        let target = house.local(name);
        let more = [way, &["ops@127.0.0.1:runbook.pdf", target.to_str().unwrap()]].concat();
        let done = house.scp("ops", &more).await;
        assert!(done.status.success(), "{way:?}: {}", text(&done));
        assert_eq!(std::fs::read(target).unwrap(), RUNBOOK);
        for (from, to) in [
            ("ops@127.0.0.1:../security/sbom.json", house.local("x")),
            ("ops@127.0.0.1:escape.txt", house.local("x")),
            ("ops@127.0.0.1:missing", house.local("x")),
        ] {
            let done = house
                .scp("ops", &[way, &[from, to.to_str().unwrap()]].concat())
                .await;
            assert!(
                !done.status.success() && !to.exists(),
                "{way:?} {from}: {}",
                text(&done)
            );
        }
        let mine = house.dir.path().join("batch");
        std::fs::write(&mine, "x").unwrap();
        let put = [way, &[mine.to_str().unwrap(), "ops@127.0.0.1:"]].concat();
        let done = house.scp("ops", &put).await;
        assert!(!done.status.success(), "{way:?}: {}", text(&done));
    }
    let channels: Vec<_> = house
        .recorded()
        .iter()
        .map(|entry| entry["channel"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(channels, ["scp", "sftp", "scp", "sftp"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_longer_than_a_read_arrives_whole() {
    let house = House::start().await;
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(house.dir.path().join("packages/ops/long.bin"), &bytes).unwrap();
    let done = house.sftp("ops", "get long.bin").await;
    assert!(done.status.success(), "{}", text(&done));
    assert!(std::fs::read(house.local("long.bin")).unwrap() == bytes);
    assert_eq!(house.recorded().len(), 1, "one entry, however many reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold() {
    let house = House::start_with(Wishes {
        sftp_limits: "handles_max: 1, connections_max: 1, auth_s: 4",
        ..Wishes::default()
    })
    .await;
    // Somebody who says nothing holds the only place, until the time to sign in is over.
    let silent = tokio::net::TcpStream::connect(house.delivery.sftp.unwrap())
        .await
        .unwrap();
    let mut greeting = [0; 4];
    let mut silent = tokio::io::BufReader::new(silent);
    tokio::io::AsyncReadExt::read_exact(&mut silent, &mut greeting)
        .await
        .unwrap();
    let refused = house.sftp("ops", "ls").await;
    assert!(!refused.status.success());
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut rest).await;
    // The place is free again a moment after the connection is closed.
    while !house.sftp("ops", "get runbook.pdf").await.status.success() {}
}

impl House {
    /// For tests of the record.
    pub async fn gets_nothing_over_ssh(&self) {
        let done = self.sftp("ops", "get runbook.pdf").await;
        assert!(
            !done.status.success() && text(&done).contains("Failure"),
            "{}",
            text(&done)
        );
        assert_eq!(std::fs::read(self.local("runbook.pdf")).unwrap_or_default(), b"");
        let target = self.local("by-scp");
        let done = self
            .scp(
                "ops",
                &["-O", "ops@127.0.0.1:runbook.pdf", target.to_str().unwrap()],
            )
            .await;
        assert!(!done.status.success() && !target.exists(), "{}", text(&done));
    }
}
