//! Where a Redis is, and over TLS what is trusted. Owns the grammar of its addresses and the clients that are made of
//! them; knows nothing of what is kept there.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use redis::cluster::ClusterClientBuilder;
use redis::io::tcp::TcpSettings;
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};

/// What an error says of the form.
const GRAMMAR: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis-cluster:// or rediss-cluster:// and \
                       nodes with commas between them; over TLS ?cacert=FILE, ?cert=FILE&key=FILE";

/// `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, or `redis-cluster://` and nodes of a cluster with commas between them;
/// `rediss://` and `rediss-cluster://` over TLS. What is shown of it has neither user nor password.
#[derive(Clone)]
pub struct Address {
    nodes: Vec<ConnectionInfo>,
    cluster: bool,
    tls: Option<Tls>,
}

/// What else TLS takes, in PEM files that are read at each opening: certificates are renewed while a server runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tls {
    /// Authorities that vouch for the server; without it, those of the machine.
    ca: Option<PathBuf>,
    /// Certificate and key with which we say who we are.
    own: Option<(PathBuf, PathBuf)>,
}

/// Why an address is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; it is {GRAMMAR}")]
pub struct AddressError {
    what: String,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read {}, which the address of Redis names: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // Never the text itself, nor what the library says of it: it may hold a password.
        let wrong = |what: &str| AddressError {
            what: what.to_owned(),
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let (cluster, over_tls) = match scheme {
            "redis" => (false, false),
            "rediss" => (false, true),
            "redis-cluster" => (true, false),
            "rediss-cluster" => (true, true),
            _ => return Err(wrong("its scheme is none of Redis")),
        };
        // What the library reads after it turns off what TLS is for.
        if rest.contains('#') {
            return Err(wrong("it has a `#`"));
        }
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (format!("{credentials}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, options) = match rest.split_once('?') {
            Some((hosts, options)) => (hosts, Some(options)),
            None => (rest, None),
        };
        let tls = match (over_tls, options) {
            (false, None) => None,
            (false, Some(_)) => return Err(wrong("it has options, and they are for TLS alone")),
            (true, options) => Some(Tls::parse(options.unwrap_or_default())?),
        };
        let hosts: Vec<&str> = if cluster {
            hosts.split(',').collect()
        } else {
            vec![hosts]
        };
        let plain = if over_tls { "rediss" } else { "redis" };
        let nodes = hosts
            .into_iter()
            .map(|host| {
                let info = ConnectionInfo::from_str(&format!("{plain}://{credentials}{host}"))
                    .map_err(|_| wrong("a host, port, user, password or number of it cannot be read"))?;
                Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
            })
            .collect::<Result<Vec<_>, AddressError>>()?;
        Ok(Self { nodes, cluster, tls })
    }
}

impl Tls {
    fn parse(options: &str) -> Result<Self, AddressError> {
        let wrong = |what: String| Err(AddressError { what });
        let (mut ca, mut cert, mut key) = (None, None, None);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let place = match name {
                "cacert" => &mut ca,
                "cert" => &mut cert,
                "key" => &mut key,
                _ => return wrong(format!("its option `{name}` is unknown")),
            };
            if value.is_empty() || place.replace(PathBuf::from(value)).is_some() {
                return wrong(format!("its option `{name}` names no file, or two"));
            }
        }
        let own = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return wrong("of `cert` and `key` it has one alone".to_owned()),
        };
        Ok(Self { ca, own })
    }

    fn certificates(&self) -> Result<TlsCertificates, OpenError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| OpenError::File {
                path: path.clone(),
                source,
            })
        };
        let client_tls = self.own.as_ref().map(|(cert, key)| {
            Ok::<_, OpenError>(ClientTlsConfig {
                client_cert: read(cert)?,
                client_key: read(key)?,
            })
        });
        Ok(TlsCertificates {
            client_tls: client_tls.transpose()?,
            root_cert: self.ca.as_ref().map(read).transpose()?,
        })
    }
}

impl Address {
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// Whether what is said, passwords too, can be read by whoever carries it: no TLS, and not this machine alone.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        let leaves = |node: &ConnectionInfo| match node.addr() {
            ConnectionAddr::Tcp(host, _) => {
                let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
                host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
            }
            _ => false,
        };
        self.nodes.iter().any(leaves)
    }

    #[must_use]
    pub fn is_over_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A client that has not connected yet. Of a cluster's nodes, of the first one alone.
    ///
    /// # Errors
    /// A file that the address names cannot be read or holds no certificate.
    pub fn client(&self) -> Result<Client, OpenError> {
        let node = self.nodes.first().cloned().ok_or_else(no_node)?;
        Ok(match &self.tls {
            None => Client::open(node)?,
            Some(tls) => {
                provider();
                Client::build_with_tls(node, tls.certificates()?)?
            }
        })
    }

    /// What a client of the whole cluster is built from.
    ///
    /// # Errors
    /// As [`Address::client`].
    pub fn cluster(&self) -> Result<ClusterClientBuilder, OpenError> {
        let builder = ClusterClientBuilder::new(self.nodes.clone())
            .tcp_settings(TcpSettings::default().set_nodelay(true));
        Ok(match &self.tls {
            None => builder,
            Some(tls) => {
                provider();
                builder.certs(tls.certificates()?)
            }
        })
    }
}

impl From<OpenError> for RedisError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Redis(error) => error,
            OpenError::File { .. } => {
                let what = "a file that its address names";
                (redis::ErrorKind::InvalidClientConfig, what, error.to_string()).into()
            }
        }
    }
}

fn no_node() -> OpenError {
    OpenError::Redis(
        (
            redis::ErrorKind::InvalidClientConfig,
            "the address names no Redis",
        )
            .into(),
    )
}

/// The library asks for one of the process.
fn provider() {
    // An error means that one is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, node) in self.nodes.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{}", node.addr())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_never_shows_its_password() {
        for (text, shown, cluster, clear) in [
            (
                "redis://anna:geheim@example.org:6380/2",
                "example.org:6380",
                false,
                true,
            ),
            (
                "rediss://anna:geheim@example.org:6380?cacert=/etc/ca.pem",
                "example.org:6380",
                false,
                false,
            ),
            ("redis-cluster://a:1,b:2", "a:1,b:2", true, true),
            (
                "rediss-cluster://:geheim@a:1,b:2?cert=c&key=k",
                "a:1,b:2",
                true,
                false,
            ),
            ("redis://localhost:1", "localhost:1", false, false),
            ("redis://127.0.0.1:1", "127.0.0.1:1", false, false),
            ("redis://[::1]:1", "::1:1", false, false),
            (
                "redis-cluster://127.0.0.1:1,10.0.0.1:1",
                "127.0.0.1:1,10.0.0.1:1",
                true,
                true,
            ),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(
                (address.is_cluster(), address.is_in_the_clear()),
                (cluster, clear),
                "{text}"
            );
            assert!(!format!("{address:?}").contains("geheim"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_words_without_a_password() {
        for (text, why) in [
            ("", "no scheme"),
            ("a:1", "no scheme"),
            ("redis://", "cannot be read"),
            ("http://x:geheim@a", "none of Redis"),
            ("redis://a:port", "cannot be read"),
            ("redis://x:geheim@:::", "cannot be read"),
            ("redis://x:geheim@a?cacert=f", "for TLS alone"),
            ("rediss://x:geheim@a?sni=f", "`sni` is unknown"),
            ("rediss://x:geheim@a?cert=f", "one alone"),
            ("rediss://x:geheim@a?cacert=", "names no file"),
            ("rediss://x:geheim@a?cacert=a&cacert=b", "or two"),
            ("rediss://x:geheim@a/#insecure", "`#`"),
        ] {
            let said = text.parse::<Address>().unwrap_err().to_string();
            assert!(
                said.contains(why) && said.contains("rediss:// for TLS"),
                "{text}: {said}"
            );
            assert!(!said.contains("geheim"), "{said}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let address: Address = "rediss://a:1?cacert=/nowhere/ca.pem".parse().unwrap();
        for said in [
            address.client().err().unwrap().to_string(),
            address.cluster().err().unwrap().to_string(),
        ] {
            assert!(said.contains("/nowhere/ca.pem"), "{said}");
        }
    }
}
