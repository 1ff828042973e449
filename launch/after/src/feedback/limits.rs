//! How often one address may come. Pure: the time is an argument.

use std::collections::BTreeMap;
use std::net::IpAddr;

const ADDRESSES_MAX: usize = 20_000;

/// A token bucket per address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// So many at once …
    pub burst: f64,
    /// … and so many more per second.
    pub per_s: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Buckets {
    /// Tokens and when they were counted.
    held: BTreeMap<IpAddr, (f64, u64)>,
}

impl Buckets {
    /// Whether this one may pass now. Where no more addresses can be remembered, strangers wait.
    pub(crate) fn admit(&mut self, address: IpAddr, rate: Rate, now_ms: u64) -> bool {
        let key = network(address);
        let filled = |(tokens, at_ms): (f64, u64)| {
            (tokens + now_ms.saturating_sub(at_ms) as f64 / 1000.0 * rate.per_s).min(rate.burst)
        };
        if !self.held.contains_key(&key) && self.held.len() >= ADDRESSES_MAX {
            self.held.retain(|_, bucket| filled(*bucket) < rate.burst);
            if self.held.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let bucket = self.held.entry(key).or_insert((rate.burst, now_ms));
        let tokens = filled(*bucket);
        let admitted = tokens >= 1.0;
        *bucket = (if admitted { tokens - 1.0 } else { tokens }, now_ms);
        admitted
    }
}

/// One customer has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_when_its_bucket_is_empty_and_others_do_not() {
        let rate = Rate {
            burst: 2.0,
            per_s: 0.5,
        };
        let mut buckets = Buckets::default();
        let mut ask = |address: &str, now_ms| buckets.admit(address.parse().unwrap(), rate, now_ms);
        assert_eq!(
            [ask("10.0.0.1", 0), ask("10.0.0.1", 0), ask("::ffff:10.0.0.1", 0)],
            [true, true, false]
        );
        assert!(ask("10.0.0.2", 0));
        assert_eq!([ask("10.0.0.1", 2_000), ask("10.0.0.1", 2_000)], [true, false]);
        assert_eq!(
            [
                ask("2001:db8::1", 0),
                ask("2001:db8::2", 0),
                ask("2001:db8::3", 0)
            ],
            [true, true, false]
        );
    }

    #[test]
    fn the_number_of_addresses_is_limited() {
        let rate = Rate {
            burst: 2.0,
            per_s: 1.0,
        };
        let mut buckets = Buckets::default();
        for address in 0..ADDRESSES_MAX as u32 {
            assert!(buckets.admit(IpAddr::V4(address.into()), rate, 0));
        }
        let stranger: IpAddr = "203.0.113.1".parse().unwrap();
        assert!(!buckets.admit(stranger, rate, 0));
        assert!(buckets.admit(stranger, rate, 5_000));
        assert_eq!(buckets.held.len(), 1);
    }
}
