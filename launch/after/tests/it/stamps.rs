use std::net::IpAddr;
use std::path::Path;

use tminus_after::stamps::{Places, Reader, Zone, reader_zone, two_zones};

use crate::geo_file::geo_file;

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn check(time: &str, zone: &str, expected: &str) {
    let zone = Zone::named(zone).unwrap();
    assert_eq!(two_zones(at(time), Some(&zone)), expected);
}

#[test]
fn a_stamp_says_both_times_and_both_zones() {
    check(
        "2026-11-22T14:00:00Z",
        "Asia/Shanghai",
        "2026-11-22 14:00:00 UTC · 22:00:00 Asia/Shanghai (+08:00)",
    );
    check(
        "2026-11-22T18:00:00Z",
        "Asia/Shanghai",
        "2026-11-22 18:00:00 UTC · 2026-11-23 02:00:00 Asia/Shanghai (+08:00)",
    );
    check(
        "2026-11-22T00:30:00Z",
        "America/New_York",
        "2026-11-22 00:30:00 UTC · 2026-11-21 19:30:00 America/New_York (-05:00)",
    );
    check(
        "2026-07-01T12:00:00Z",
        "America/New_York",
        "2026-07-01 12:00:00 UTC · 08:00:00 America/New_York (-04:00)",
    );
    check(
        "2026-11-22T14:00:00Z",
        "Asia/Kathmandu",
        "2026-11-22 14:00:00 UTC · 19:45:00 Asia/Kathmandu (+05:45)",
    );
    // The hour that comes twice: only the offset tells them apart.
    check(
        "2026-11-01T05:30:00Z",
        "America/New_York",
        "2026-11-01 05:30:00 UTC · 01:30:00 America/New_York (-04:00)",
    );
    check(
        "2026-11-01T06:30:00Z",
        "America/New_York",
        "2026-11-01 06:30:00 UTC · 01:30:00 America/New_York (-05:00)",
    );
    check("2026-11-22T14:00:00Z", "UTC", "2026-11-22 14:00:00 UTC");
    assert_eq!(
        two_zones(at("2026-11-22T14:00:00Z"), None),
        "2026-11-22 14:00:00 UTC"
    );
}

#[test]
fn only_names_of_the_database_are_zones() {
    for good in [
        "Asia/Shanghai",
        "America/Argentina/Buenos_Aires",
        "UTC",
        "Etc/GMT+8",
    ] {
        assert!(Zone::named(good).is_some(), "{good}");
    }
    let long = "A".repeat(65);
    for bad in [
        "",
        "CST6CDT,M3.2.0,M11.1.0",
        "+08:00",
        "../../etc/passwd",
        "Asia/Shanghai\r\nSet-Cookie: a=b",
        "亚洲/上海",
        "Mars/Base",
        "<b>",
        &long,
    ] {
        assert!(Zone::named(bad).is_none(), "{bad}");
    }
}

#[test]
fn the_place_of_the_address_goes_before_the_browser_and_that_before_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    std::fs::write(&path, geo_file()).unwrap();
    let places = Places::open(&path).unwrap();
    let configured = Zone::named("Europe/Berlin").unwrap();
    let zone = |address: &str, browser: Option<&str>, places: Option<&Places>| {
        let address = address.parse::<IpAddr>().ok();
        let reader = Reader {
            address,
            browser,
            configured: Some(&configured),
        };
        reader_zone(reader, places).unwrap().name().to_owned()
    };
    let browser = Some("America/New_York");
    assert_eq!(zone("1.2.3.4", browser, Some(&places)), "Asia/Shanghai");
    assert_eq!(zone("::ffff:1.2.3.4", browser, Some(&places)), "Asia/Shanghai");
    assert_eq!(zone("1.2.3.4", browser, None), "America/New_York");
    // In the file: a zone that is none, a place without one, and nothing.
    for address in ["2.2.3.4", "3.2.3.4", "200.2.3.4", "2001:db8::1", "none"] {
        assert_eq!(
            zone(address, browser, Some(&places)),
            "America/New_York",
            "{address}"
        );
        assert_eq!(
            zone(address, Some("Mars/Base"), Some(&places)),
            "Europe/Berlin",
            "{address}"
        );
        assert_eq!(zone(address, None, Some(&places)), "Europe/Berlin", "{address}");
    }
    assert_eq!(reader_zone(Reader::default(), Some(&places)), None);
}

#[test]
fn a_file_that_is_no_geoip_file_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    assert!(
        Places::open(&path)
            .unwrap_err()
            .to_string()
            .contains("cannot read")
    );
    std::fs::write(&path, "not a database").unwrap();
    assert!(
        Places::open(&path)
            .unwrap_err()
            .to_string()
            .contains("no MaxMind DB file")
    );
    assert!(Places::open(Path::new("/")).is_err());
}

#[test]
fn a_damaged_geoip_file_answers_nothing_wrong_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    let good = geo_file();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x5a;
        std::fs::write(&path, bad).unwrap();
        if let Ok(places) = Places::open(&path) {
            let _ = places.zone("1.2.3.4".parse().unwrap());
            let _ = places.zone("2001:db8::1".parse().unwrap());
        }
    }
}
