//! A day of the proleptic Gregorian calendar. No clock: today is an argument.

use std::fmt;

use crate::error::ContractError;

/// Year, month, day; compared in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl Date {
    /// # Errors
    /// There is no such day.
    pub fn new(year: i32, month: u8, day: u8) -> Result<Self, ContractError> {
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            _ => 0,
        };
        if (0..=9999).contains(&year) && (1..=days).contains(&day) {
            Ok(Self { year, month, day })
        } else {
            Err(ContractError::Date {
                text: format!("{year:04}-{month:02}-{day:02}"),
            })
        }
    }

    /// `2026-03-31`, or a full timestamp of RFC 3339, of which the date counts.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, ContractError> {
        let wrong = || ContractError::Date {
            text: text.to_owned(),
        };
        let (date, rest) = text.split_at_checked(10).ok_or_else(wrong)?;
        if !rest.is_empty() && !is_rfc3339_time(rest) {
            return Err(wrong());
        }
        let bytes = date.as_bytes();
        if bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(wrong());
        }
        let number = |range: std::ops::Range<usize>| -> Result<u32, ContractError> {
            let digits = &date[range];
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                digits.parse().map_err(|_| wrong())
            } else {
                Err(wrong())
            }
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        Self::new(
            i32::try_from(year).map_err(|_| wrong())?,
            u8::try_from(month).map_err(|_| wrong())?,
            u8::try_from(day).map_err(|_| wrong())?,
        )
        .map_err(|_| wrong())
    }

    /// Days from `other` to this day; negative when this one is earlier.
    pub fn days_since(self, other: Self) -> i64 {
        self.day_number() - other.day_number()
    }

    /// Days since 0000-03-01 (the algorithm of Howard Hinnant's "chrono-Compatible Low-Level Date
    /// Algorithms").
    fn day_number(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let month = (i64::from(self.month) + 9) % 12;
        let of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// What follows the date: `T12:00:00Z`, `T12:00:00.5+01:00`.
fn is_rfc3339_time(rest: &str) -> bool {
    let Some(time) = rest.strip_prefix('T') else {
        return false;
    };
    let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone);
    let clock = clock.split_once('.').map_or(clock, |(whole, fraction)| {
        if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) {
            whole
        } else {
            ""
        }
    });
    let two = |part: &str, max: u8| {
        part.len() == 2
            && part.bytes().all(|b| b.is_ascii_digit())
            && part.parse::<u8>().is_ok_and(|n| n <= max)
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let zone_holds = zone == "Z"
        || zone
            .strip_prefix(['+', '-'])
            .and_then(|offset| offset.split_once(':'))
            .is_some_and(|(hours, minutes)| two(hours, 23) && two(minutes, 59));
    matches!(parts[..], [h, m, s] if two(h, 23) && two(m, 59) && two(s, 59)) && zone_holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_dates_and_timestamps_are_dates() {
        for text in [
            "2026-03-31",
            "2024-02-29",
            "9999-08-10",
            "2022-08-10T00:00:00Z",
            "2022-08-10T23:59:59.25+02:00",
        ] {
            assert!(Date::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "2026-3-31",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-32",
            "+026-01-01",
            "2026/01/01",
            "2026-01-01T",
            "2026-01-01 00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "invalid-date",
            "２０２６-01-01",
        ] {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_counted_over_years_and_leap_days() {
        let day = |text: &str| Date::parse(text).unwrap();
        assert_eq!(day("2026-01-01").days_since(day("2025-12-31")), 1);
        assert_eq!(day("2024-03-01").days_since(day("2024-02-28")), 2);
        assert_eq!(day("2100-03-01").days_since(day("2100-02-28")), 1);
        assert_eq!(day("2025-01-01").days_since(day("2026-01-01")), -365);
        assert_eq!(day("2000-01-01").days_since(day("1970-01-01")), 10_957);
    }
}
