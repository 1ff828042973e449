//! Keys and certificates, made for one test by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use starvault_testing::program;
use tminus_seal::keys::{self, SealKey};
use tminus_seal::{Authority, Certificate};

pub struct Pki {
    pub folder: tempfile::TempDir,
}

/// What a certificate is for, in the words of `openssl x509`.
pub const SEAL: &str = "keyUsage=critical,digitalSignature,nonRepudiation";
pub const STAMP: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping";
pub const OTHER: &str = "keyUsage=critical,keyEncipherment";

impl Pki {
    /// An authority of its own.
    pub fn new() -> Self {
        let pki = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        pki.key("ca", "ec");
        pki.openssl(&[
            "req",
            "-x509",
            "-key",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "3650",
            "-subj",
            "/O=Test/CN=Root",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ]);
        pki
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes `NAME.key` and `NAME.pem`, certified by the authority.
    pub fn issue(&self, name: &str, kind: &str, usage: &str, days: i32) {
        self.key(name, kind);
        self.certify(name, usage, days);
    }

    pub fn key(&self, name: &str, kind: &str) {
        let out = format!("{name}.key");
        match kind {
            "rsa" => self.openssl(&[
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
                "-out",
                &out,
            ]),
            _ => self.openssl(&[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
                &out,
            ]),
        }
    }

    pub fn certify(&self, name: &str, usage: &str, days: i32) {
        let subject = format!("/O=Test/CN={name}");
        let key = format!("{name}.key");
        let request = format!("{name}.csr");
        self.openssl(&["req", "-new", "-key", &key, "-out", &request, "-subj", &subject]);
        std::fs::write(
            self.path("usage.ext"),
            format!("basicConstraints=CA:FALSE\n{usage}\n"),
        )
        .unwrap();
        let out = format!("{name}.pem");
        let mut arguments = vec![
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            &out,
            "-extfile",
            "usage.ext",
            "-days",
        ];
        let days = days.to_string();
        arguments.push(&days);
        self.openssl(&arguments);
    }

    pub fn chain(&self, name: &str) -> Vec<Certificate> {
        let mut pem = std::fs::read(self.path(&format!("{name}.pem"))).unwrap();
        pem.extend(std::fs::read(self.path("ca.pem")).unwrap());
        Certificate::all_from_pem(&pem).unwrap()
    }

    pub fn open(&self, name: &str) -> Box<dyn SealKey> {
        let key = self.path(&format!("{name}.key")).display().to_string();
        keys::open(&key, self.chain(name), &|_| unreachable!()).unwrap()
    }

    pub fn openssl(&self, arguments: &[&str]) {
        run(self.folder.path(), "openssl", "openssl", arguments);
    }
}

pub fn run(folder: &Path, name: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program(name, package))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {text}");
    text
}

/// `openssl ts` as an authority.
pub struct OpensslAuthority<'a>(pub &'a Pki);

impl Authority for OpensslAuthority<'_> {
    fn answer(&self, request: &[u8]) -> Result<Vec<u8>, String> {
        let pki = self.0;
        std::fs::write(pki.path("request.tsq"), request).unwrap();
        std::fs::write(
            pki.path("tsa.cnf"),
            "[tsa]\ndefault_tsa = t\n[t]\ndir = .\nserial = tsa.serial\ncrypto_device = builtin\nsigner_digest = sha256\n\
             default_policy = 1.2.3.4.1\ndigests = sha256\naccuracy = secs:1\nordering = yes\ntsa_name = yes\ness_cert_id_chain = no\n\
             ess_cert_id_alg = sha256\n",
        )
        .unwrap();
        pki.openssl(&[
            "ts",
            "-reply",
            "-config",
            "tsa.cnf",
            "-section",
            "t",
            "-queryfile",
            "request.tsq",
            "-signer",
            "tsa.pem",
            "-inkey",
            "tsa.key",
            "-out",
            "answer.tsr",
        ]);
        Ok(std::fs::read(pki.path("answer.tsr")).unwrap())
    }
}
