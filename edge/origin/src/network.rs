//! Whose request it is: the peer's own, unless the peer is a proxy that is trusted.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::HeaderMap;

/// Entries of `x-forwarded-for` that are looked at, from the last backwards.
const HOPS_MAX: usize = 16;

/// Addresses with a common prefix: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u8| {
            let rest = u32::from(width - self.bits);
            // Shifting by the whole width would overflow; nothing is compared then.
            a.checked_shr(rest) == b.checked_shr(rest)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a network is an address with or without a prefix length, e.g. 10.0.0.0/8".to_owned();
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or_else(wrong)?,
            None => width,
        };
        Ok(Self { address, bits })
    }
}

/// What is counted as one address: an IPv4 address, or the /64 that one IPv6 customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

/// Proxies whose word is taken for whom they speak.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl From<Vec<Network>> for TrustedProxies {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks)
    }
}

impl TrustedProxies {
    /// Whether this peer speaks for others.
    #[must_use]
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(peer))
    }

    /// Whom a request of `peer` is from: the last entry of `x-forwarded-for` that no trusted proxy made. What anybody
    /// else writes there is not believed.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if self.is_trusted(peer) {
            let hops = headers.get_all("x-forwarded-for").iter().rev();
            let hops = hops.flat_map(|list| list.to_str().unwrap_or("?").rsplit(','));
            for hop in hops.take(HOPS_MAX) {
                // Past what cannot be read nothing can be believed.
                let Some(address) = forwarded(hop.trim()) else {
                    break;
                };
                client = address;
                if !self.is_trusted(address) {
                    break;
                }
            }
        }
        client
    }
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn forwarded(hop: &str) -> Option<IpAddr> {
    let address = hop.parse::<IpAddr>().ok();
    let address = address.or_else(|| {
        hop.parse::<std::net::SocketAddr>()
            .ok()
            .map(|address| address.ip())
    });
    address.or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        let holds = |network: &str, address: &str| network.parse::<Network>().unwrap().contains(ip(address));
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "127.0.0.1") && !holds("127.0.0.1", "127.0.0.2"));
        assert!(
            holds("127.0.0.1", "::ffff:127.0.0.1"),
            "the same address, written as IPv6"
        );
        assert!(holds("0.0.0.0/0", "203.0.113.7") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && holds("2001:db8::/32", "2001:db8:1::"));
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0/8",
            "::/129",
            "localhost",
            "10.0.0.0/-1",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxies = TrustedProxies::from(vec!["10.0.0.0/8".parse().unwrap()]);
        let client = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            ClientAddress::from(proxies.client(ip(peer), &headers))
        };
        let is = |text: &str| ClientAddress::from(ip(text));
        assert_eq!(
            client("203.0.113.7", &["198.51.100.1"]),
            is("203.0.113.7"),
            "anybody can write that"
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), is("198.51.100.1"));
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 198.51.100.1", "10.0.0.9:80"]),
            is("198.51.100.1"),
            "what the client put in front is not believed"
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.1, rubbish"]), is("10.0.0.1"));
        assert_eq!(client("10.0.0.1", &[]), is("10.0.0.1"));
        assert_eq!(
            client("10.0.0.1", &["[2001:db8::1]:80"]),
            is("2001:db8::2"),
            "one /64, one customer"
        );
        assert_ne!(is("2001:db8::1"), is("2001:db8:0:1::1"));
        let long = ["10.0.0.2, "; 1000].concat() + "10.0.0.3";
        assert_eq!(client("10.0.0.1", &[&long]), is("10.0.0.2"));
        let far = format!("198.51.100.1, {long}");
        assert_eq!(
            client("10.0.0.1", &[&far]),
            is("10.0.0.2"),
            "nobody looks that far"
        );
    }
}
