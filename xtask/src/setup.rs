//! What a fresh machine lacks. Installs Debian packages when it may, and otherwise says which
//! command a person has to run. Never installs anything that is already there.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// A thing outside cargo's reach that the project needs.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// What it is for, in the words of the message.
    pub purpose: &'static str,
    /// The Debian package.
    pub package: &'static str,
    /// One of these must exist: an absolute path, or the name of a program on `PATH`.
    pub any_of: &'static [&'static str],
}

pub const CJK_FONT: Need = Need {
    purpose: "the Chinese text of the checklist",
    package: "fonts-noto-cjk",
    any_of: &[
        "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    ],
};

const CHROMIUM: Need = Need {
    purpose: "pages in a real browser",
    package: "chromium",
    any_of: &["chromium"],
};

const SOFTHSM: Need = Need {
    purpose: "seals by a token of PKCS #11",
    package: "softhsm2",
    any_of: &["softhsm2-util"],
};

/// What `cargo xtask bench checklist` needs.
pub const CHECKLIST_BENCH: &[Need] = &[CJK_FONT, CHROMIUM, SOFTHSM];

/// What `cargo xtask test` needs on top of Rust.
pub const EVERYTHING: &[Need] = &[
    CJK_FONT,
    CHROMIUM,
    Need {
        purpose: "driving that browser",
        package: "chromium-driver",
        any_of: &["chromedriver"],
    },
    Need {
        purpose: "reading the checklist with an independent program",
        package: "poppler-utils",
        any_of: &["pdftotext"],
    },
    Need {
        purpose: "reading the feedback code with a scanner of others",
        package: "zbar-tools",
        any_of: &["zbarimg"],
    },
    Need {
        // The core packages bring no service: nothing is started but by the tests.
        purpose: "copies of profiles in real databases",
        package: "mariadb-server-core",
        any_of: &["mariadbd", "/usr/sbin/mariadbd"],
    },
    Need {
        // As above: the tools hold the server's program, without a service.
        purpose: "games in a real Redis",
        package: "redis-tools",
        any_of: &["redis-server", "redis-check-rdb"],
    },
    Need {
        // Brings the interpreter along where there is none.
        purpose: "comparing ours with programs of others in Python",
        package: "python3-venv",
        any_of: &["python3"],
    },
    Need {
        purpose: "making those databases",
        package: "mariadb-client-core",
        any_of: &["my_print_defaults"],
    },
    Need {
        purpose: "HTTP/2 as another client speaks it",
        package: "nghttp2-client",
        any_of: &["h2load"],
    },
    SOFTHSM,
    Need {
        purpose: "reading sealed documents with an independent program",
        package: "qpdf",
        any_of: &["qpdf"],
    },
    Need {
        purpose: "reading the checklist's metadata with an independent program",
        package: "libimage-exiftool-perl",
        any_of: &["exiftool"],
    },
    Need {
        purpose: "SFTP and scp as people's clients speak them",
        package: "openssh-client",
        any_of: &["sftp"],
    },
    Need {
        purpose: "keys, certificates and time stamps that another program has made",
        package: "openssl",
        any_of: &["openssl"],
    },
    Need {
        purpose: "HTTP as another client speaks it",
        package: "curl",
        any_of: &["curl"],
    },
];

/// What `cargo xtask bench gateway` compares with. Not among the others: these packages bring services, which a machine
/// that only runs the tests should not get.
pub const OTHER_PROXIES: &[Need] = &[
    Need {
        purpose: "a proxy to compare the gateway with",
        package: "nginx-light",
        any_of: &["nginx", "/usr/sbin/nginx"],
    },
    Need {
        purpose: "a proxy to compare the gateway with",
        package: "haproxy",
        any_of: &["haproxy", "/usr/sbin/haproxy"],
    },
];

/// Makes sure that each need is met; installs what is missing in one go.
pub fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !is_met(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    for need in &missing {
        eprintln!("missing: {} ({})", need.package, need.purpose);
    }
    let by_hand = format!(
        "install by hand, then run this again: sudo apt-get install {}",
        packages.join(" ")
    );
    if find_program("apt-get").is_none() {
        bail!("no apt-get here; {by_hand} (or your system's packages of these programs)");
    }
    eprintln!("installing {} …", packages.join(", "));
    let prefix = update_packages().with_context(|| by_hand.clone())?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&packages);
    apt_get(&prefix, &install).with_context(|| by_hand.clone())?;
    if let Some(need) = missing.iter().find(|need| !is_met(need)) {
        bail!(
            "{} was installed, but none of {:?} is there",
            need.package,
            need.any_of
        );
    }
    Ok(())
}

/// Fetches the list of packages; answers the words that begin a call of apt-get which may do so.
pub fn update_packages() -> anyhow::Result<Vec<String>> {
    let mut prefix = privileges().context("not root and no password-less sudo")?;
    prefix.push("apt-get".to_owned());
    apt_get(&prefix, &["update", "-qq"])?;
    Ok(prefix)
}

fn is_met(need: &Need) -> bool {
    need.any_of.iter().any(|name| match name.strip_prefix('/') {
        Some(_) => Path::new(name).exists(),
        None => find_program(name).is_some(),
    })
}

/// The words to put before a command that needs root; none when that is not to be had.
fn privileges() -> Option<Vec<String>> {
    let output = Command::new("id").arg("-u").output().ok()?;
    if output.stdout.trim_ascii() == b"0" {
        return Some(Vec::new());
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stderr(Stdio::null())
        .status()
        .ok()?;
    sudo.success().then(|| vec!["sudo".to_owned(), "-n".to_owned()])
}

fn apt_get(prefix: &[String], arguments: &[&str]) -> anyhow::Result<()> {
    let (program, rest) = prefix.split_first().context("no program to run")?;
    let status = Command::new(program)
        .args(rest)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("apt-get {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Looks a program up on `PATH`.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
