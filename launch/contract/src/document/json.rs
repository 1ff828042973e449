//! JSON (RFC 8259) with places. A loop, not a recursion: depth is a number, not a stack.

use std::cell::Cell;

use super::builder::Builder;
use super::{Mark, NodeId, Value};
use crate::error::ContractError;

pub(super) fn parse(text: &str, file: u32, mut builder: Builder<'_>) -> Result<NodeId, ContractError> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        file,
        line: 1,
        counted: Cell::new((0, 1)),
    };
    let mut open: Vec<u8> = Vec::new();
    // Whether a comma has just been read, so that a value has to follow.
    let mut after_comma = false;
    loop {
        reader.skip_space();
        let mark = reader.mark();
        let Some(byte) = reader.peek() else {
            return builder.finish(mark);
        };
        if builder.is_complete() {
            return Err(builder.syntax(mark, "something follows the end of the document"));
        }
        if matches!(byte, b'}' | b']') {
            let wanted = if byte == b'}' { b'{' } else { b'[' };
            if open.pop() != Some(wanted) || after_comma {
                return Err(builder.syntax(mark, format!("`{}` is not expected here", byte as char)));
            }
            reader.at += 1;
            builder.end()?;
            after_comma = reader.separator(&mut builder, &open)?;
            continue;
        }
        if builder.wants_key() {
            if byte != b'"' {
                return Err(builder.syntax(mark, "expected a name in double quotes"));
            }
            let name = reader.string(&builder)?;
            reader.skip_space();
            if reader.peek() != Some(b':') {
                return Err(builder.syntax(reader.mark(), "expected `:`"));
            }
            reader.at += 1;
            builder.key(&name, mark, false);
            after_comma = true;
            continue;
        }
        match byte {
            b'{' | b'[' => {
                reader.at += 1;
                open.push(byte);
                builder.begin(byte == b'{', mark, 0)?;
                after_comma = false;
                continue;
            }
            b'"' => {
                let string = reader.string(&builder)?;
                builder.scalar(Value::String(string.into()), mark, 0)?;
            }
            _ => {
                let value = reader.word(&builder)?;
                builder.scalar(value, mark, 0)?;
            }
        }
        after_comma = reader.separator(&mut builder, &open)?;
    }
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    file: u32,
    line: u32,
    /// A byte of this line and its column: a document may be one line of many megabytes, so columns
    /// are counted on from the last place that was asked for.
    counted: Cell<(usize, u32)>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn mark(&self) -> Mark {
        let (from, column) = self.counted.get();
        let more = self
            .text
            .get(from..self.at)
            .map_or(0, |text| text.chars().count());
        let column = column.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.counted.set((self.at, column));
        Mark {
            file: self.file,
            line: self.line,
            column,
        }
    }

    fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.counted.set((self.at, 1));
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                _ => break,
            }
        }
    }

    /// After a value: a comma, or the end of what is open. Says whether it was a comma.
    fn separator(&mut self, builder: &mut Builder<'_>, open: &[u8]) -> Result<bool, ContractError> {
        self.skip_space();
        let Some(innermost) = open.last() else {
            return Ok(false);
        };
        match (self.peek(), innermost) {
            (Some(b','), _) => {
                self.at += 1;
                Ok(true)
            }
            (Some(b'}'), b'{') | (Some(b']'), b'[') | (None, _) => Ok(false),
            _ => Err(builder.syntax(self.mark(), "expected `,` or the end of the list or object")),
        }
    }

    fn word(&mut self, builder: &Builder<'_>) -> Result<Value, ContractError> {
        let mark = self.mark();
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))
            .unwrap_or(rest.len());
        let word = &self.text[self.at..self.at + length];
        self.at += length;
        match word {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ if is_json_number(word) => match word.parse::<f64>() {
                Ok(value) => Ok(Value::Number(value, word.into())),
                Err(_) => Err(builder.syntax(mark, format!("`{word}` is no number"))),
            },
            "" => Err(builder.syntax(mark, "expected a value")),
            _ => {
                let shown: String = word.chars().take(40).collect();
                Err(builder.syntax(mark, format!("`{shown}` is no JSON value")))
            }
        }
    }

    fn string(&mut self, builder: &Builder<'_>) -> Result<String, ContractError> {
        let start = self.mark();
        self.at += 1;
        let mut out = String::new();
        loop {
            let from = self.at;
            while let Some(byte) = self.peek() {
                if byte == b'"' || byte == b'\\' || byte < 0x20 {
                    break;
                }
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    let mark = self.mark();
                    self.at += 1;
                    match self.escape() {
                        Some(character) => out.push(character),
                        None => return Err(builder.syntax(mark, "an escape that JSON does not know")),
                    }
                }
                Some(_) => return Err(builder.syntax(self.mark(), "a control character inside a string")),
                None => return Err(builder.syntax(start, "a string that does not end")),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                if (0xD800..0xDC00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    match self.hex4() {
                        Some(second) if (0xDC00..0xE000).contains(&second) => {
                            char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?
                        }
                        _ => {
                            self.at = back;
                            char::REPLACEMENT_CHARACTER
                        }
                    }
                } else {
                    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let value = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        self.at += 4;
        Some(value)
    }
}

fn is_json_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word).as_bytes();
    match digits {
        [b'0', rest @ ..] => !rest.first().is_some_and(u8::is_ascii_digit),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    }
}
