//! A Redis that is reached over TLS.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::{RedisOptions, RedisServer, free_port};

/// Its certificate is for 127.0.0.1 alone, of an authority that only this test knows. Runs until it is dropped.
#[derive(Debug)]
pub struct RedisOverTls {
    files: TempDir,
    port: u16,
    _server: RedisServer,
}

impl RedisOverTls {
    /// `asks`: whoever connects must have a certificate of the same authority.
    #[must_use]
    pub fn start(asks: bool) -> Self {
        let files = tempfile::tempdir().expect("a folder for certificates");
        let pair = || KeyPair::generate().expect("a key pair");
        let named = |name: &str, hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let mut parameters = CertificateParams::new(hosts).expect("hosts of a certificate");
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters
        };
        let mut authority = named("Authority of a test", &[]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = pair();
        let root = authority.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(authority, key);
        let write =
            |name: &str, pem: String| fs::write(files.path().join(name), pem).expect("a file of this test");
        write("ca.pem", root.pem());
        for (name, hosts) in [("server", &["127.0.0.1"][..]), ("own", &[])] {
            let key = pair();
            let certificate = named(name, hosts)
                .signed_by(&key, &issuer)
                .expect("a certificate");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        let port = free_port();
        let path = |name: &str| files.path().join(name).display().to_string();
        let more = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", path("server.pem")),
            ("--tls-key-file", path("server.key")),
            ("--tls-ca-cert-file", path("ca.pem")),
            ("--tls-auth-clients", if asks { "yes" } else { "no" }.to_owned()),
        ];
        let server = RedisServer::start_with(RedisOptions {
            more: more
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value])
                .collect(),
            ..RedisOptions::default()
        });
        Self {
            files,
            port,
            _server: server,
        }
    }

    /// `HOST:PORT` of its TLS listener.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A PEM file: `ca.pem`, and certificate and key of one who may connect, `own.pem` and `own.key`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Its address with the authority, and certificate and key of one who may connect.
    #[must_use]
    pub fn url(&self) -> String {
        let path = |name| self.file(name).display().to_string();
        let (ca, cert, key) = (path("ca.pem"), path("own.pem"), path("own.key"));
        format!("rediss://{}?cacert={ca}&cert={cert}&key={key}", self.host())
    }
}
