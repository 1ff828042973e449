//! How much one address may take. Which address a client comes from is told by [`tminus_origin`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderMap;
use tminus_origin::{
    ClientAddress, Network, TrustedProxies,
    rate::{Buckets, TokenBucket},
};
use tokio::time::Instant;

use crate::config::Limits;

/// Counts what each address takes. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Addresses(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    trusted: TrustedProxies,
    connections_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// Only addresses with an open connection: bounded by the number of those.
    connections: HashMap<ClientAddress, usize>,
    sign_ins: Buckets<ClientAddress>,
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
}

impl Addresses {
    #[must_use]
    pub fn new(limits: &Limits, trusted: Vec<Network>, now: Instant) -> Self {
        Self(Arc::new(Shared {
            trusted: trusted.into(),
            connections_max: limits.connections_per_address_max,
            table: Mutex::new(Table {
                connections: HashMap::new(),
                sign_ins: Buckets::new(
                    TokenBucket::per_minute(limits.sign_ins_per_minute, now),
                    limits.addresses_max,
                    now,
                ),
            }),
        }))
    }

    /// Whether this peer speaks for others.
    #[must_use]
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        self.0.trusted.is_trusted(peer)
    }

    /// Whom a request of `peer` is from.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        self.0.trusted.client(peer, headers).into()
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
        self.0.lock().sign_ins.take(address, now)
    }
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
    fn sign_ins_are_counted_per_address() {
        let addresses = addresses(&[], |limits| limits.sign_ins_per_minute = 3);
        let now = Instant::now();
        let allowed = |text| (0..5).filter(|_| addresses.sign_in(ip(text).into(), now)).count();
        assert_eq!(
            (allowed("192.0.2.1"), allowed("192.0.2.1"), allowed("192.0.2.2")),
            (3, 0, 3)
        );
        // One /64 is one customer.
        assert_eq!((allowed("2001:db8::1"), allowed("2001:db8::2")), (3, 0));
    }

    #[test]
    fn a_trusted_proxy_speaks_for_its_clients() {
        let addresses = addresses(&["10.0.0.0/8"], |_| {});
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
        let client = |peer: &str| addresses.client(ip(peer), &headers);
        assert_eq!(client("10.0.0.1"), ip("198.51.100.1").into());
        assert_eq!(client("203.0.113.7"), ip("203.0.113.7").into());
    }
}
