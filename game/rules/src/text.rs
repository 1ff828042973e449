//! The text of one move, kept in place: a game is copied for each command, and with texts on the
//! heap each copy would visit every move that was ever made in it.

use std::{borrow::Borrow, fmt, ops::Deref};

/// `Qa1xb2+#` would be the longest in algebraic notation, and a move in UCI is shorter.
const BYTES_MAX: usize = 11;

/// A move in UCI or in standard algebraic notation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MoveText {
    bytes: [u8; BYTES_MAX],
    length: u8,
}

impl MoveText {
    /// `None` for what is too long for a move.
    pub(crate) fn new(text: &str) -> Option<MoveText> {
        let mut bytes = [0; BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(MoveText {
            bytes,
            length: text.len() as u8,
        })
    }

    /// A move in UCI: four letters and digits, and a fifth if a pawn is promoted.
    pub(crate) fn uci(letters: [u8; 5]) -> MoveText {
        debug_assert!(letters.is_ascii());
        let mut bytes = [0; BYTES_MAX];
        bytes[..5].copy_from_slice(&letters);
        MoveText {
            bytes,
            length: if letters[4] == 0 { 4 } else { 5 },
        }
    }

    pub fn as_str(&self) -> &str {
        // Made from a text, and so never without one.
        str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl Deref for MoveText {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for MoveText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for MoveText {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for MoveText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for MoveText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_out_as_it_went_in_and_one_too_long_does_not_go_in() {
        for text in ["", "e4", "e7e8q", "O-O-O#", "Qa1xb2+#", "12345678901"] {
            assert_eq!(MoveText::new(text).unwrap().as_str(), text);
        }
        assert_eq!(MoveText::new("123456789012"), None);
        assert_eq!(MoveText::uci(*b"e2e4\0"), MoveText::new("e2e4").unwrap());
        assert_eq!(MoveText::uci(*b"e7e8q"), MoveText::new("e7e8q").unwrap());
    }
}
