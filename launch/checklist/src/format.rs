//! Numbers, units and moments as people read them.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use tminus_plan::Measurement;

use crate::view::{Stamp, UnitView};

/// UTC and, where the plan names one that is known, a second zone.
#[derive(Debug)]
pub(crate) struct Zones {
    name: String,
    local: Option<TimeZone>,
}

impl Zones {
    pub(crate) fn new(name: Option<&str>) -> Self {
        let local = name.and_then(|name| TimeZoneDatabase::bundled().get(name).ok());
        let name = if local.is_some() {
            name.unwrap_or_default().to_owned()
        } else {
            String::new()
        };
        Self { name, local }
    }

    /// Empty when there is no second zone.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn stamp(&self, ms: u64) -> Stamp {
        let time = i64::try_from(ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(time) = time else {
            return Stamp {
                ms,
                utc: format!("{ms} ms after 1970-01-01 UTC"),
                local: String::new(),
            };
        };
        let utc = time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let local = match &self.local {
            Some(zone) => {
                let there = time.to_zoned(zone.clone());
                format!(
                    "{} {} ({})",
                    there.strftime("%Y-%m-%d %H:%M:%S"),
                    self.name,
                    there.strftime("%:z")
                )
            }
            None => String::new(),
        };
        Stamp { ms, utc, local }
    }
}

/// At most four digits after the point, none of them a trailing zero; tiny values keep three digits.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    if value.abs() < 0.001 || value.abs() >= 1e15 {
        return format!("{value:.2e}");
    }
    let digits = if value.abs() >= 1000.0 { 1 } else { 4 };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    text.to_owned()
}

/// `12.5 ms`; counts and shares have no unit to print.
pub(crate) fn measurement(measurement: &Measurement) -> String {
    let value = number(measurement.value);
    match measurement.unit.as_str() {
        "" | "1" => value,
        "percent" => format!("{value} %"),
        unit => format!("{value} {unit}"),
    }
}

/// `T+0–12 h`
pub(crate) fn hours(from_h: f64, to_h: f64) -> String {
    format!("T+{}\u{2013}{} h", number(from_h), number(to_h))
}

/// `4 min`, `12 s`, `48 h`: rounded to what a reader needs.
pub(crate) fn span(seconds: f64) -> String {
    if seconds >= 7200.0 {
        format!("{} h", number((seconds / 360.0).round() / 10.0))
    } else if seconds >= 120.0 {
        format!("{} min", number((seconds / 6.0).round() / 10.0))
    } else {
        format!("{} s", number((seconds * 10.0).round() / 10.0))
    }
}

pub(crate) fn glossary() -> Vec<UnitView> {
    [
        (
            "ms, s, min, h",
            "毫秒、秒、分、小时",
            "milliseconds, seconds, minutes, hours",
        ),
        (
            "p50, p90, p99",
            "50 %、90 %、99 % 的值不超过此数",
            "half, 90 %, 99 % of all values are at most this",
        ),
        ("percent, %", "百分之一", "one part in a hundred"),
        ("rate, share", "比率，0 到 1", "a share of the whole, from 0 to 1"),
        ("1/s", "每秒次数", "per second"),
        (
            "e",
            "灰度版更差的证据：越大越差，到所写上限即回滚",
            "evidence that the canary is worse; at the stated limit it is rolled back",
        ),
        ("bytes", "字节", "bytes"),
        (
            "T+12 h",
            "计划时钟起算第 12 小时",
            "twelve hours of the plan after its clock started",
        ),
        (
            "SHA-256",
            "文件指纹，64 位十六进制",
            "a file's fingerprint, 64 hexadecimal digits",
        ),
    ]
    .map(|(unit, zh, en)| UnitView {
        unit: unit.to_owned(),
        zh: zh.to_owned(),
        en: en.to_owned(),
    })
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, text) in [
            (0.0, "0"),
            (12.0, "12"),
            (12.5, "12.5"),
            (0.00104, "0.001"),
            (0.0001, "1.00e-4"),
            (187.123_456, "187.1235"),
            (12_345.678, "12345.7"),
            (100.0, "100"),
            (1000.0, "1000"),
            (-3.25, "-3.25"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_stamp_names_both_zones_and_the_offset() {
        let stamp = Zones::new(Some("Asia/Shanghai")).stamp(1_795_356_309_000);
        assert_eq!(stamp.utc, "2026-11-22 14:05:09 UTC");
        assert_eq!(stamp.local, "2026-11-22 22:05:09 Asia/Shanghai (+08:00)");
        assert_eq!(Zones::new(Some("Nowhere/Land")).stamp(0).local, "");
        assert_eq!(
            Zones::new(None).stamp(u64::MAX).utc,
            "18446744073709551615 ms after 1970-01-01 UTC"
        );
    }
}
