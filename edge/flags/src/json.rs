//! JSON (RFC 8259) that remembers where each value began.
//!
//! It refuses what the RFC leaves open and a flag file never needs: two members of one name, numbers that do not
//! fit a double, halves of surrogate pairs. Depth is bounded, so that no text can exhaust the stack.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use crate::limits::{JSON_DEPTH_MAX, NUMBER_CHARS_MAX};

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The byte at which it begins.
    pub at: usize,
    pub json: Json,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub key: String,
    pub key_at: usize,
    pub value: Node,
}

/// Where reading ended, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub at: usize,
    pub message: String,
}

impl Node {
    /// The plain value.
    pub fn to_value(&self) -> Value {
        match &self.json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(number.clone()),
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Json::Object(members) => {
                let values = members
                    .iter()
                    .map(|member| (member.key.clone(), member.value.to_value()));
                Value::Object(values.collect::<Map<_, _>>())
            }
        }
    }

    /// In words, for messages.
    pub fn what(&self) -> &'static str {
        match &self.json {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

/// Reads one value and nothing after it.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
    };
    reader.skip_space();
    let node = reader.value(JSON_DEPTH_MAX)?;
    reader.skip_space();
    if reader.at < reader.bytes.len() {
        return reader.wrong("there is more after the end of the document");
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            at: self.at,
            message: message.into(),
        })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, SyntaxError> {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => self.wrong(format!("found {found:?}, expected {wanted}")),
            None => self.wrong(format!("the text ends, expected {wanted}")),
        }
    }

    fn value(&mut self, depth_left: usize) -> Result<Node, SyntaxError> {
        let at = self.at;
        let json = match self.peek() {
            Some(b'{' | b'[') if depth_left == 0 => {
                return self.wrong(format!("more than {JSON_DEPTH_MAX} levels of nesting"));
            }
            Some(b'{') => self.object(depth_left - 1)?,
            Some(b'[') => self.array(depth_left - 1)?,
            Some(b'"') => Json::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Json::Number(self.number()?),
            Some(b't') => self.word("true", Json::Bool(true))?,
            Some(b'f') => self.word("false", Json::Bool(false))?,
            Some(b'n') => self.word("null", Json::Null)?,
            _ => return self.unexpected("a value"),
        };
        Ok(Node { at, json })
    }

    fn word(&mut self, word: &str, json: Json) -> Result<Json, SyntaxError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(json)
        } else {
            self.unexpected("a value")
        }
    }

    fn array(&mut self, depth_left: usize) -> Result<Json, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth_left)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return self.unexpected("',' or ']'"),
            }
        }
    }

    fn object(&mut self, depth_left: usize) -> Result<Json, SyntaxError> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            let key_at = self.at;
            if self.peek() != Some(b'"') {
                return self.unexpected("a name in double quotes");
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.unexpected("':'");
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth_left)?;
            members.push(Member { key, key_at, value });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.unexpected("',' or '}'"),
            }
        }
        self.at += 1;
        let mut seen = HashSet::new();
        match members.iter().find(|member| !seen.insert(member.key.as_str())) {
            Some(twice) => Err(SyntaxError {
                at: twice.key_at,
                message: format!("{:?} stands here twice", twice.key),
            }),
            None => Ok(Json::Object(members)),
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self
                .peek()
                .is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
            {
                self.at += 1;
            }
            // Stops at ASCII only, so both ends are between characters.
            text.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return self.wrong("a control character in a string; write it as \\u00XX"),
                None => return self.wrong("the text ends within a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let escaped = self.bytes.get(self.at + 1).copied();
        let plain = match escaped {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.wrong("no such escape in JSON"),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.four_digits(self.at)?;
        let code = if (0xD800..0xDC00).contains(&first) {
            let second_at = self.at + 6;
            let second = if self.bytes[second_at.min(self.bytes.len())..].starts_with(b"\\u") {
                self.four_digits(second_at)?
            } else {
                0
            };
            if !(0xDC00..0xE000).contains(&second) {
                return self.wrong("half of a surrogate pair");
            }
            self.at += 12;
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            self.at += 6;
            first
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.wrong("half of a surrogate pair"),
        }
    }

    /// Those of the escape at `at`: a backslash, a `u` and four hexadecimal digits.
    fn four_digits(&self, at: usize) -> Result<u32, SyntaxError> {
        let digits = self.bytes.get(at + 2..at + 6).unwrap_or_default();
        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return self.wrong("\\u takes four hexadecimal digits");
        }
        Ok(digits.iter().fold(0, |code, digit| {
            code * 16 + char::from(*digit).to_digit(16).unwrap_or(0)
        }))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Number, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        match self.digits() {
            0 => return self.unexpected("a digit"),
            1 => {}
            _ if leading_zero => {
                self.at = start;
                return self.wrong("a number does not begin with 0");
            }
            _ => {}
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            if self.digits() == 0 {
                return self.unexpected("a digit");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.unexpected("a digit");
            }
        }
        let literal = &self.text[start..self.at];
        let read = if literal.len() > NUMBER_CHARS_MAX {
            Err(format!("a number has at most {NUMBER_CHARS_MAX} characters"))
        } else {
            number(literal, whole).ok_or_else(|| "this number is too large for a double".to_owned())
        };
        read.map_err(|message| SyntaxError { at: start, message })
    }
}

fn number(literal: &str, whole: bool) -> Option<Number> {
    if whole {
        if let Ok(number) = literal.parse::<u64>() {
            return Some(number.into());
        }
        // "-0" is a double: it is not the integer 0 to whoever reads JSON strictly.
        if literal != "-0"
            && let Ok(number) = literal.parse::<i64>()
        {
            return Some(number.into());
        }
    }
    Number::from_f64(literal.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_json_is_refused_where_it_stops_to_be() {
        for (text, at, message) in [
            ("", 0, "the text ends, expected a value"),
            ("{\"a\":1", 6, "the text ends, expected ',' or '}'"),
            ("{\"a\":1,}", 7, "found '}', expected a name in double quotes"),
            ("[1,]", 3, "found ']', expected a value"),
            ("[1 2]", 3, "found '2', expected ',' or ']'"),
            ("{\"a\" 1}", 5, "found '1', expected ':'"),
            ("{a:1}", 1, "found 'a', expected a name in double quotes"),
            ("1 1", 2, "there is more after the end of the document"),
            ("tru", 0, "found 't', expected a value"),
            ("'a'", 0, "found '\\'', expected a value"),
            ("\u{feff}{}", 0, "found '\\u{feff}', expected a value"),
            ("\"a", 2, "the text ends within a string"),
            (
                "\"a\nb\"",
                2,
                "a control character in a string; write it as \\u00XX",
            ),
            ("\"\\x\"", 1, "no such escape in JSON"),
            ("\"\\u12\"", 1, "\\u takes four hexadecimal digits"),
            ("\"\\u+123\"", 1, "\\u takes four hexadecimal digits"),
            ("\"\\ud800\"", 1, "half of a surrogate pair"),
            ("\"\\ud800\\u0041\"", 1, "half of a surrogate pair"),
            ("\"\\udc00\"", 7, "half of a surrogate pair"),
            ("01", 0, "a number does not begin with 0"),
            ("-", 1, "the text ends, expected a digit"),
            ("1.", 2, "the text ends, expected a digit"),
            ("1e", 2, "the text ends, expected a digit"),
            ("1e999", 0, "this number is too large for a double"),
            ("{\"a\":1,\"b\":2,\"a\":3}", 13, "\"a\" stands here twice"),
            ("{\"a\":1,\"\\u0061\":3}", 7, "\"a\" stands here twice"),
        ] {
            let expected = SyntaxError {
                at,
                message: message.to_owned(),
            };
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn bombs_are_refused_early() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(parse(&deep).unwrap_err().at, JSON_DEPTH_MAX);
        let deepest = format!("{}{}", "[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX));
        assert!(parse(&deepest).is_ok());
        let long = "9".repeat(10_000_000);
        assert_eq!(
            parse(&long).unwrap_err().message,
            "a number has at most 100 characters"
        );
    }

    #[test]
    fn every_value_knows_where_it_began() {
        let node = parse(" {\"a\" : [ 1, {\"b\":null} ] }").unwrap();
        assert_eq!(node.at, 1);
        let Json::Object(members) = &node.json else {
            panic!()
        };
        assert_eq!((members[0].key_at, members[0].value.at), (2, 8));
        let Json::Array(items) = &members[0].value.json else {
            panic!()
        };
        assert_eq!((items[0].at, items[1].at), (10, 13));
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let theirs = serde_json::from_str::<Value>(text).ok();
        match (parse(text), theirs) {
            (Ok(node), theirs) => prop_assert_eq!(Some(node.to_value()), theirs),
            // We refuse more: members that come twice, halves of pairs.
            (Err(error), Some(_)) => prop_assert!(
                error.message.contains("twice") || error.message.contains("at most"),
                "{text}: {error:?}"
            ),
            (Err(_), None) => {}
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn it_reads_what_another_reader_reads(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just(" "), Just("\"a\""),
                    Just("\"\\u00e9\\n\""), Just("\"\\ud83d\\ude00\""), Just("0"), Just("-0"), Just("12"), Just("-3.50"),
                    Just("1e3"), Just("1E-2"), Just("18446744073709551615"), Just("18446744073709551616"),
                    Just("-9223372036854775808"), Just("true"), Just("false"), Just("null"), Just("x"), Just("\""), Just("\\"),
                ],
                0..24,
            )
        ) {
            agrees(&words.concat())?;
        }

        #[test]
        fn it_reads_every_value_that_another_writer_writes(
            text in "\\PC{0,20}", number in any::<i64>(), double in any::<f64>(), flag in any::<bool>()
        ) {
            let value = serde_json::json!({"t": [text, {"n": number, "d": double}], "f": flag, "z": null});
            // Compared with the value itself: serde_json reads some doubles back inexactly.
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(parse(&text).map(|node| node.to_value()), Ok(value.clone()));
            }
        }
    }
}
