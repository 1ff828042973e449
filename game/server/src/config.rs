//! Everything that one server process is started with. Values only: nothing here opens or reads.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use starvault_matchmaking::Settings;
use starvault_nodes::{RedisUrl, Timing};
use starvault_rules::Clock;
use starvault_store::StoreAddress;
use tminus_origin::Network;

use crate::{
    flags::FlagsConfig, identity::Credentials, inject::Injection, snapshots::SnapshotStores, time::TimeSource,
};

/// The configuration of one process.
#[derive(Debug, Clone)]
pub struct Config {
    pub store: StoreAddress,
    /// The label that clients, the gateway and other processes know this release by.
    pub release: Release,
    pub signing_key: PathBuf,
    pub clock: Clock,
    /// Where matches are made; players of one region meet.
    pub regions: Regions,
    /// Who fits whom, and how long anybody waits.
    pub matching: Settings,
    /// Gateways whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<Network>,
    /// What is accepted besides our own tokens.
    pub credentials: Credentials,
    pub limits: Limits,
    /// Feature flags, which may change while the process runs.
    pub flags: FlagsConfig,
    pub injection: Option<Injection>,
    /// Where profiles are copied to, if anywhere.
    pub snapshots: Option<SnapshotStores>,
    /// Where the nodes of this release meet. `None`: this process is alone.
    pub nodes: Option<RedisUrl>,
    pub nodes_timing: Timing,
    pub time: TimeSource,
    /// Decides who plays White. `None`: drawn from the system's randomness at the start.
    pub seed: Option<u64>,
}

impl Config {
    #[must_use]
    pub fn new(store: impl Into<StoreAddress>, release: Release, signing_key: PathBuf) -> Self {
        Self {
            store: store.into(),
            release,
            signing_key,
            clock: Clock {
                initial_ms: 180_000,
                increment_ms: 2_000,
            },
            regions: Regions::default(),
            matching: Settings::default(),
            trusted_proxies: Vec::new(),
            credentials: Credentials::default(),
            limits: Limits::default(),
            flags: FlagsConfig::default(),
            injection: None,
            snapshots: None,
            nodes: None,
            nodes_timing: Timing::default(),
            time: TimeSource::system(),
            seed: None,
        }
    }
}

/// Bounds on everything that clients can make grow or last.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections, WebSockets included; above it new ones hear 503.
    pub connections_max: usize,
    /// Open connections of one address. High, because a whole rehearsal, a school or a carrier's
    /// translator shares one; what it stops is one address taking them all from a larger server.
    pub connections_per_address_max: usize,
    /// Guests that one address may sign in per minute, and at once. As high for the same reason;
    /// each of them is a row in the store for ever.
    pub sign_ins_per_minute: u32,
    /// Addresses whose sign-ins are counted; all beyond them share one allowance.
    pub addresses_max: usize,
    /// Bytes of an HTTP request body or a gRPC request.
    pub body_bytes_max: usize,
    /// Until a request's head has arrived; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Until a response's head is ready, whatever longer limit the caller names.
    pub request_timeout: Duration,
    /// For one command on a socket, to where its game or the lobby has it.
    pub command_timeout: Duration,
    /// Bytes of a WebSocket message that is read at all. Above it the socket closes with 1009;
    /// between the contract's limit and this one the game goes on.
    pub message_bytes_max: usize,
    /// Frames that wait to be written to one socket; a client that lets more gather is cut.
    pub outbox_frames_max: usize,
    /// For one write to a socket.
    pub write_timeout: Duration,
    /// Between the server's pings.
    pub ping_every: Duration,
    /// A socket that says nothing (not even a pong) for this long is closed.
    pub idle_timeout: Duration,
    /// Commands per second and socket, sustained.
    pub commands_per_second: u32,
    /// Commands that may come at once.
    pub commands_burst: u32,
    /// Emotes that one connection may send at once, and again in each [`Self::emotes_every`].
    pub emotes_max: u32,
    pub emotes_every: Duration,
    /// How many more refused frames than good ones close the socket.
    pub refusals_max: u32,
    /// How long a player may be away from a running game.
    pub disconnect_grace: Duration,
    /// How long a ticket keeps its place in the lobby while its player has no connection.
    pub ticket_grace: Duration,
    /// How long a matched player has to show up at the game before it is aborted.
    pub arrival_timeout: Duration,
    /// Of a player's measured round trip, so much is not charged on the clock, per move. What the rules
    /// forgive is bounded besides. Zero while a release shares the store that knows no lag.
    pub lag_compensation_max: Duration,
    /// Players whose last opponent the lobby remembers.
    pub last_opponents_max: usize,
    /// How often a game asks whether it still belongs to this process while a seat is empty.
    pub ownership_probe_every: Duration,
    /// How long an ended game still answers repeated commands from memory, and can be followed by a
    /// rematch.
    pub ended_game_kept: Duration,
    /// Games in memory.
    pub rooms_max: usize,
    /// Messages that wait for one game.
    pub room_mailbox_max: usize,
    /// How long sockets get to close when the process ends.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 20_000,
            sign_ins_per_minute: 60_000,
            addresses_max: 100_000,
            body_bytes_max: 16 * 1024,
            header_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(10),
            message_bytes_max: 64 * 1024,
            outbox_frames_max: 128,
            write_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(65),
            commands_per_second: 50,
            commands_burst: 100,
            emotes_max: 3,
            emotes_every: Duration::from_secs(5),
            refusals_max: 1_000,
            disconnect_grace: Duration::from_secs(30),
            ticket_grace: Duration::from_secs(10),
            arrival_timeout: Duration::from_secs(10),
            lag_compensation_max: Duration::from_millis(500),
            last_opponents_max: 100_000,
            ownership_probe_every: Duration::from_secs(1),
            ended_game_kept: Duration::from_secs(60),
            rooms_max: 20_000,
            room_mailbox_max: 64,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// A release label: 1 to 64 of `A-Z a-z 0-9 . _ -`, so that it fits a header and a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release(String);

impl Release {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Release {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=64).contains(&text.len()) && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a release label has 1 to 64 characters of A-Z a-z 0-9 . _ -, e.g. v1.3".into())
        }
    }
}

/// A region's name: 1 to 32 of `a-z 0-9 -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Arc<str>);

impl Region {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Region {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=32).contains(&text.len()) && text.chars().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err("a region has 1 to 32 characters of a-z 0-9 -, e.g. eu-west".into())
        }
    }
}

/// The regions of one process: at least one, each once, the first is the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions(Vec<Region>);

impl Regions {
    /// Each region is a pool of its own, and pools with nobody in them help nobody.
    const MAX: usize = 64;

    #[must_use]
    pub fn as_slice(&self) -> &[Region] {
        &self.0
    }
}

impl Default for Regions {
    fn default() -> Self {
        Self(vec![Region("local".into())])
    }
}

impl FromStr for Regions {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut regions: Vec<Region> = Vec::new();
        for name in text.split(',') {
            let region: Region = name.trim().parse()?;
            if regions.contains(&region) {
                return Err(format!("the region {region} stands there twice"));
            }
            regions.push(region);
        }
        if regions.len() > Self::MAX {
            return Err(format!("there are at most {} regions", Self::MAX));
        }
        Ok(Self(regions))
    }
}

/// Reads `SECONDS+INCREMENT`, both in seconds.
///
/// # Errors
/// Says what the form is.
pub fn parse_clock(text: &str) -> Result<Clock, String> {
    let wrong = || "a clock is SECONDS+INCREMENT in seconds, each at most a day, e.g. 180+2".to_owned();
    let (initial, increment) = text.split_once('+').ok_or_else(wrong)?;
    let milliseconds = |part: &str| {
        let seconds: u32 = part.parse().ok()?;
        (seconds <= 86_400).then_some(seconds * 1000)
    };
    let initial_ms = milliseconds(initial).filter(|ms| *ms > 0).ok_or_else(wrong)?;
    Ok(Clock {
        initial_ms,
        increment_ms: milliseconds(increment).ok_or_else(wrong)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_read_in_seconds() {
        assert_eq!(
            parse_clock("180+2"),
            Ok(Clock {
                initial_ms: 180_000,
                increment_ms: 2_000
            })
        );
        assert_eq!(
            parse_clock("1+0"),
            Ok(Clock {
                initial_ms: 1_000,
                increment_ms: 0
            })
        );
        for wrong in ["", "180", "0+2", "-1+2", "1+86401", "3:00+2", "99999999999+0"] {
            assert!(parse_clock(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn regions_are_listed_once_each_and_never_none() {
        let names = |text: &str| {
            let regions = text.parse::<Regions>()?;
            Ok::<_, String>(
                regions
                    .as_slice()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(names("eu, asia"), Ok(vec!["eu".into(), "asia".into()]));
        let too_many = (0..65).map(|n| format!("r{n}")).collect::<Vec<_>>().join(",");
        for wrong in [
            "",
            "eu,",
            "eu,eu",
            "EU",
            "a b",
            "亚洲",
            &"x".repeat(33),
            &too_many,
        ] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_release_fits_a_header() {
        assert_eq!(
            "v1.3-rc_1".parse::<Release>().map(|release| release.to_string()),
            Ok("v1.3-rc_1".into())
        );
        for wrong in ["", "v 1", "v1\n", "版本", "a/b"] {
            assert!(wrong.parse::<Release>().is_err(), "{wrong}");
        }
    }
}
