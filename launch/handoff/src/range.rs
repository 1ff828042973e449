//! Byte ranges (RFC 9110, section 14): one range is served, several are answered with the whole.

/// What of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    Whole,
    /// First byte and number of bytes, at least one.
    Part(u64, u64),
    /// Nothing of it is there: 416.
    Unsatisfiable,
}

impl Range {
    /// Reads the header's value for a file of so many bytes. What cannot be read is ignored (section 14.2).
    pub(crate) fn parse(header: &str, bytes: u64) -> Self {
        let Some(range) = header
            .trim()
            .strip_prefix("bytes=")
            .filter(|ranges| !ranges.contains(','))
        else {
            return Self::Whole;
        };
        let Some((first, last)) = range.trim().split_once('-') else {
            return Self::Whole;
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => Self::Whole,
            (Some(first), Some(last)) => Self::from_to(first, last.min(bytes.saturating_sub(1)), bytes),
            (Some(first), None) if last.is_empty() => Self::from_to(first, bytes.saturating_sub(1), bytes),
            (None, Some(suffix)) if first.is_empty() => {
                let length = suffix.min(bytes);
                if length == 0 {
                    Self::Unsatisfiable
                } else {
                    Self::Part(bytes - length, length)
                }
            }
            _ => Self::Whole,
        }
    }

    fn from_to(first: u64, last: u64, bytes: u64) -> Self {
        if first >= bytes {
            Self::Unsatisfiable
        } else {
            Self::Part(first, last - first + 1)
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_everything_else_is_the_whole() {
        for (header, expected) in [
            ("bytes=0-0", Range::Part(0, 1)),
            ("bytes=2-4", Range::Part(2, 3)),
            ("bytes=8-", Range::Part(8, 2)),
            ("bytes=8-99999999999999999999999", Range::Part(8, 2)),
            ("bytes=-3", Range::Part(7, 3)),
            ("bytes=-30", Range::Part(0, 10)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=99999999999999999999999-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=4-2", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("lines=1-2", Range::Whole),
        ] {
            assert_eq!(Range::parse(header, 10), expected, "{header}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Unsatisfiable);
    }
}
