//! Keys in files and in a SoftHSM token.

use std::path::{Path, PathBuf};
use std::process::Command;

use starvault_testing::program;
use tminus_seal::keys::{self, SealKey};
use tminus_seal::{SealError, seal, verify_seals};

use crate::paper::paper;
use crate::pki::{Pki, SEAL, run};
use crate::sealing::{roots, sealing};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token in the folder that the process's configuration names.
struct Token {
    folder: PathBuf,
}

impl Token {
    fn new(pki: &Pki, label: &str) -> Self {
        let folder = PathBuf::from(std::env::var("SOFTHSM2_CONF").unwrap())
            .parent()
            .unwrap()
            .to_owned();
        let token = Self { folder };
        token.util(&[
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            "87654321",
            "--pin",
            "1234",
        ]);
        std::fs::write(pki.path("pin"), "1234\n").unwrap();
        token
    }

    fn util(&self, arguments: &[&str]) {
        run(&self.folder, "softhsm2-util", "softhsm2", arguments);
    }

    fn import(&self, pki: &Pki, label: &str, key: &str, object: &str, id: &str) {
        let path = pki.path(&format!("{key}.key")).display().to_string();
        self.util(&[
            "--import", &path, "--token", label, "--pin", "1234", "--label", object, "--id", id,
        ]);
    }
}

fn uri(pki: &Pki, token: &str, object: &str) -> String {
    let pin = pki.path("pin");
    format!(
        "pkcs11:token={token};object={object}?module-path={MODULE}&pin-source=file:{}",
        pin.display()
    )
}

fn open(pki: &Pki, address: &str, certificate: &str) -> Result<Box<dyn SealKey>, SealError> {
    keys::open(address, pki.chain(certificate), &|what| {
        Err(format!("nobody to ask for the {what}"))
    })
}

#[test]
fn keys_in_a_token_seal_and_a_wrong_pin_is_tried_once() {
    // The module is loaded once per process and asks the environment then: one test does all of it, in a process of
    // its own.
    if std::env::var_os("SOFTHSM2_CONF").is_none() {
        assert!(
            Path::new(MODULE).exists(),
            "{MODULE} is missing: install the Debian package softhsm2"
        );
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let config = folder.path().join("softhsm2.conf");
        std::fs::write(
            &config,
            format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()),
        )
        .unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "keys::keys_in_a_token_seal_and_a_wrong_pin_is_tried_once",
                "--nocapture",
            ])
            .env("SOFTHSM2_CONF", &config)
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let pki = Pki::new();
    pki.issue("rsa", "rsa", SEAL, 30);
    pki.issue("ec", "ec", SEAL, 30);
    let token = Token::new(&pki, "launch");
    token.import(&pki, "launch", "rsa", "rsa", "01");
    token.import(&pki, "launch", "ec", "ec", "02");
    for kind in ["rsa", "ec"] {
        let key = open(&pki, &uri(&pki, "launch", kind), kind).unwrap();
        let sealed = seal(&paper(false), &sealing(kind), &*key, None).unwrap();
        let report = verify_seals(&sealed.pdf, &roots(&pki)).unwrap();
        assert_eq!(report.seals[0].trusted, Some(Ok(())), "{kind}");
    }

    let told = |address: &str| open(&pki, address, "ec").err().unwrap().to_string();
    assert!(told(&uri(&pki, "other", "ec")).contains("no token fits the address; there are: `launch`"));
    assert!(told(&uri(&pki, "launch", "nothing")).contains("has no private key of that name"));
    let nobody = uri(&pki, "launch", "ec").split("&pin").next().unwrap().to_owned();
    let asked = told(&nobody);
    assert!(
        asked.contains("nobody to ask for the PIN of the token `launch`") || asked.is_empty(),
        "{asked}"
    );
    let missing = uri(&pki, "launch", "ec").replace("libsofthsm2", "nothing");
    assert!(told(&missing).contains("cannot be loaded"));
    let no_certificate = keys::open(&uri(&pki, "launch", "ec"), Vec::new(), &|_| unreachable!());
    assert!(
        no_certificate
            .err()
            .unwrap()
            .to_string()
            .contains("--certificate")
    );

    // A wrong PIN: told as such, without the PIN, and the right one works afterwards.
    std::fs::write(pki.path("pin"), "0000\n").unwrap();
    let wrong = told(&uri(&pki, "launch", "ec"));
    assert!(
        wrong.contains("is wrong; it was tried once") && !wrong.contains("0000"),
        "{wrong}"
    );
    std::fs::write(pki.path("pin"), "1234\n").unwrap();
    let key = open(&pki, &uri(&pki, "launch", "ec"), "ec").unwrap();

    // Gone in the middle: nothing is sealed, and it says so.
    std::fs::remove_dir_all(token.folder.join("tokens")).unwrap();
    let gone = seal(&paper(false), &sealing("ec"), &*key, None)
        .err()
        .map(|e| e.to_string());
    assert!(
        gone.as_ref().is_some_and(|why| why.contains("did not sign")),
        "{gone:?}"
    );
}

#[test]
fn a_pkcs12_file_brings_its_chain_and_its_password_is_asked_for() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    pki.openssl(&[
        "pkcs12",
        "-export",
        "-inkey",
        "launch.key",
        "-in",
        "launch.pem",
        "-certfile",
        "ca.pem",
        "-out",
        "launch.p12",
        "-passout",
        "pass:open sesame",
    ]);
    let path = pki.path("launch.p12").display().to_string();
    let key = keys::open(&path, Vec::new(), &|what| {
        assert!(what.contains("launch.p12"), "{what}");
        Ok("open sesame".to_owned())
    })
    .unwrap();
    assert_eq!(key.chain().len(), 2);
    let sealed = seal(&paper(false), &sealing("l"), &*key, None).unwrap();
    assert_eq!(
        verify_seals(&sealed.pdf, &roots(&pki)).unwrap().seals[0].trusted,
        Some(Ok(()))
    );
    let error = keys::open(&path, Vec::new(), &|_| Ok("sesame".to_owned()))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("password is wrong") && !error.contains("sesame)"),
        "{error}"
    );
}

#[test]
fn files_that_hold_no_key_are_told() {
    let pki = Pki::new();
    pki.issue("launch", "ec", SEAL, 30);
    let open = |name: &str| {
        let path = pki.path(name).display().to_string();
        keys::open(&path, pki.chain("launch"), &|_| Ok(String::new()))
            .err()
            .unwrap()
            .to_string()
    };
    assert!(open("nothing.key").contains("cannot be read"));
    assert!(open("launch.pem").contains("no private key"));
    std::fs::write(pki.path("broken.p12"), b"not a store").unwrap();
    assert!(open("broken.p12").contains("PKCS #12"));
    let _ = program("openssl", "openssl");
}
