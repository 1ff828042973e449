//! Times as a reader sees them: in UTC and in the reader's zone, never without saying which.
//!
//! The reader's zone is, in this order: where a GeoIP file puts the address, what the browser said, what is
//! configured; else UTC alone. Zones and their history are those of the build (IANA, bundled by jiff).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A GeoLite2 or GeoIP2 city file is smaller.
const GEO_BYTES_MAX: u64 = 512 << 20;
const ZONE_BYTES_MAX: usize = 64;
/// The cookie that a page may set to the browser's zone.
pub const ZONE_COOKIE: &str = "tminus_zone";

/// `2026-11-22 14:00:00 UTC · 22:00:00 Asia/Shanghai (+08:00)`; the date again where it is another day there.
pub fn two_zones(at: Timestamp, reader: Option<&Zone>) -> String {
    let utc = at.to_zoned(TimeZone::UTC);
    let stamp = utc.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let Some(zone) = reader.filter(|zone| zone.0.iana_name() != Some("UTC")) else {
        return stamp;
    };
    let there = at.to_zoned(zone.0.clone());
    let form = if there.date() == utc.date() {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    format!(
        "{stamp} · {} {} ({})",
        there.strftime(form),
        zone.name(),
        there.strftime("%:z")
    )
}

/// A zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// `None` for what is no IANA name: offsets, abbreviations and POSIX rules are none.
    pub fn named(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        if name.is_empty() || name.len() > ZONE_BYTES_MAX || !name.bytes().all(plain) {
            return None;
        }
        let zone = jiff::tz::TimeZoneDatabase::bundled().get(name).ok()?;
        zone.iana_name().is_some().then_some(Self(zone))
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

/// What is known of a reader.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reader<'a> {
    pub address: Option<IpAddr>,
    /// A form's field or the cookie, as it came.
    pub browser: Option<&'a str>,
    pub configured: Option<&'a Zone>,
}

/// The reader's zone; `None` is UTC alone.
pub fn reader_zone(reader: Reader<'_>, places: Option<&Places>) -> Option<Zone> {
    let by_place = || places?.zone(reader.address?);
    by_place()
        .or_else(|| Zone::named(reader.browser?))
        .or_else(|| reader.configured.cloned())
}

#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} has more than {GEO_BYTES_MAX} bytes; use a city file")]
    TooLarge { path: PathBuf },
    #[error("{path} is no MaxMind DB file ({why}); download a GeoLite2 or GeoIP2 City file again")]
    Form { path: PathBuf, why: String },
}

/// A GeoIP file: addresses to places.
pub struct Places {
    reader: maxminddb::Reader<Vec<u8>>,
}

impl Places {
    /// # Errors
    /// No file, too large, or another format.
    pub fn open(path: &Path) -> Result<Self, PlacesError> {
        let path = path.to_owned();
        let read = |source| PlacesError::Read {
            path: path.clone(),
            source,
        };
        if std::fs::metadata(&path).map_err(read)?.len() > GEO_BYTES_MAX {
            return Err(PlacesError::TooLarge { path });
        }
        let bytes = std::fs::read(&path).map_err(read)?;
        match maxminddb::Reader::from_source(bytes) {
            Ok(reader) => Ok(Self { reader }),
            Err(error) => Err(PlacesError::Form {
                why: error.to_string(),
                path,
            }),
        }
    }

    /// The zone of an address; `None` when the file does not know, or is damaged there.
    pub fn zone(&self, address: IpAddr) -> Option<Zone> {
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        let place = self
            .reader
            .lookup(address)
            .ok()?
            .decode::<maxminddb::geoip2::City<'_>>()
            .ok()??;
        Zone::named(place.location.time_zone?)
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Places")
            .field(&self.reader.metadata().database_type)
            .finish()
    }
}
