//! Which address a client comes from, and how much one address may take.
//!
//! An address is the peer's own, unless the peer is a trusted proxy: then it is the last entry of
//! `x-forwarded-for` that no trusted proxy made. What anybody else writes there is not believed.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use tokio::time::Instant;

use crate::{config::Limits, rate::TokenBucket};

/// Entries of `x-forwarded-for` that are looked at, from the last backwards.
const HOPS_MAX: usize = 16;
/// A full table of addresses is swept at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

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

/// Counts what each address takes. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Addresses(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    trusted: Vec<Network>,
    connections_max: usize,
    sign_ins_per_minute: u32,
    addresses_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// Only addresses with an open connection: bounded by the number of those.
    connections: HashMap<ClientAddress, usize>,
    sign_ins: HashMap<ClientAddress, TokenBucket>,
    /// For all addresses that found no room in the table.
    others: TokenBucket,
    swept_at: Instant,
}

/// One connection of an address, for as long as it lives.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    address: ClientAddress,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.shared.lock();
        if let Some(open) = table.connections.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                table.connections.remove(&self.address);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, now: Instant) -> TokenBucket {
        TokenBucket::per_minute(self.sign_ins_per_minute, now)
    }
}

impl Addresses {
    #[must_use]
    pub fn new(limits: &Limits, trusted: Vec<Network>, now: Instant) -> Self {
        Self(Arc::new(Shared {
            trusted,
            connections_max: limits.connections_per_address_max,
            sign_ins_per_minute: limits.sign_ins_per_minute,
            addresses_max: limits.addresses_max,
            table: Mutex::new(Table {
                connections: HashMap::new(),
                sign_ins: HashMap::new(),
                others: TokenBucket::per_minute(limits.sign_ins_per_minute, now),
                swept_at: now,
            }),
        }))
    }

    /// Whether this peer speaks for others.
    #[must_use]
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        self.0.trusted.iter().any(|network| network.contains(peer))
    }

    /// Whom a request of `peer` is from.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
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
        client.into()
    }

    /// Room for one more connection of this address; `None` if it has enough.
    #[must_use]
    pub fn connect(&self, address: ClientAddress) -> Option<Place> {
        let mut table = self.0.lock();
        let open = table.connections.entry(address).or_default();
        if *open >= self.0.connections_max {
            if *open == 0 {
                table.connections.remove(&address);
            }
            return None;
        }
        *open += 1;
        Some(Place {
            shared: self.0.clone(),
            address,
        })
    }

    /// Whether this address may sign one more guest in now.
    #[must_use]
    pub fn sign_in(&self, address: ClientAddress, now: Instant) -> bool {
        let mut table = self.0.lock();
        if !table.sign_ins.contains_key(&address) {
            let full = table.sign_ins.len() >= self.0.addresses_max;
            if full && now.saturating_duration_since(table.swept_at) >= SWEEP_EVERY {
                table.swept_at = now;
                // An allowance that is whole again need not be remembered.
                table.sign_ins.retain(|_, bucket| !bucket.is_full(now));
            }
            if table.sign_ins.len() >= self.0.addresses_max {
                return table.others.take(now);
            }
            table.sign_ins.insert(address, self.0.bucket(now));
        }
        table
            .sign_ins
            .get_mut(&address)
            .is_some_and(|bucket| bucket.take(now))
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

    fn addresses(trusted: &[&str], adjust: impl FnOnce(&mut Limits)) -> Addresses {
        let mut limits = Limits::default();
        adjust(&mut limits);
        let trusted = trusted.iter().map(|text| text.parse().unwrap()).collect();
        Addresses::new(&limits, trusted, Instant::now())
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
        let addresses = addresses(&["10.0.0.0/8"], |_| {});
        let client = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            addresses.client(ip(peer), &headers)
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

    #[test]
    fn connections_are_counted_per_address_and_given_back() {
        let addresses = addresses(&[], |limits| limits.connections_per_address_max = 2);
        let (one, two) = (
            ClientAddress::from(ip("192.0.2.1")),
            ClientAddress::from(ip("192.0.2.2")),
        );
        let (first, second) = (addresses.connect(one), addresses.connect(one));
        assert!(first.is_some() && second.is_some());
        assert!(addresses.connect(one).is_none());
        let other = addresses.connect(two);
        assert!(other.is_some(), "another address is not concerned");
        drop(first);
        assert!(addresses.connect(one).is_some());
        drop((second, other));
        assert!(
            addresses.0.lock().connections.is_empty(),
            "nothing is remembered of those who left"
        );
        let closed = self::addresses(&[], |limits| limits.connections_per_address_max = 0);
        assert!(closed.connect(one).is_none());
        assert!(
            closed.0.lock().connections.is_empty(),
            "nor of those who never came in"
        );
    }

    #[test]
    fn sign_ins_are_counted_per_address_and_the_table_is_bounded() {
        let addresses = addresses(&[], |limits| {
            limits.sign_ins_per_minute = 3;
            limits.addresses_max = 10;
        });
        let start = addresses.0.lock().swept_at;
        let address = |n: u32| ClientAddress::from(IpAddr::V4(n.into()));
        let allowed = |n, at| (0..5).filter(|_| addresses.sign_in(address(n), at)).count();
        assert_eq!(allowed(0, start), 3);
        assert_eq!(allowed(1, start), 3);
        assert_eq!(
            allowed(0, start + Duration::from_secs(21)),
            1,
            "a third of a minute"
        );
        // A thousand addresses more: those that find no room share one allowance.
        let total: usize = (2..1000).map(|n| allowed(n, start)).sum();
        assert_eq!(total, 8 * 3 + 3);
        assert_eq!(addresses.0.lock().sign_ins.len(), 10);
        let later = start + Duration::from_secs(120);
        assert_eq!(
            allowed(5000, later),
            3,
            "room again, for whoever is whole is forgotten"
        );
        assert_eq!(addresses.0.lock().sign_ins.len(), 1);
    }
}
