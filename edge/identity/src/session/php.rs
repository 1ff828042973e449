//! PHP's serialized values, as the session handlers `php` (`name|value` after `name|value`) and `php_serialize` (one array)
//! write them (the manual, "session.serialize_handler" and "serialize"). Texts and whole numbers are read; arrays and
//! objects are passed over, part by part; objects that serialise themselves (`C:`) have a form of their own and are refused.

use super::{Budget, Bytes, DEPTH_MAX, Found, Player, SessionError};

/// Digits of a length or a number, its sign among them.
const NUMBER_BYTES_MAX: usize = 20;
/// Of a number with a fraction.
const FLOAT_BYTES_MAX: usize = 64;
/// Bytes of a variable's name.
const NAME_BYTES_MAX: usize = 1024;

const TEXT: SessionError = SessionError::Malformed("a text");
const NUMBER: SessionError = SessionError::Malformed("a number");

pub fn find(value: &[u8], field: &str) -> Result<Option<Found>, SessionError> {
    let mut bytes = Bytes(value);
    let (mut budget, mut player) = (Budget::default(), Player::default());
    // With the handler `php` a variable whose name begins so would be taken for an array, and refused as none.
    if value.starts_with(b"a:") {
        bytes.take(2)?;
        let count = number(&mut bytes, b':')?;
        bytes.expect(b'{', "an array")?;
        for _ in 0..count {
            budget.take()?;
            let key =
                scalar(&mut bytes)?.ok_or(SessionError::Malformed("a key that is no text or number"))?;
            let value = anything(&mut bytes, &mut budget)?;
            if matches!(key, Found::Text(key) if key == field.as_bytes()) {
                player.found(value)?;
            }
        }
        bytes.expect(b'}', "an array")?;
        if !bytes.is_empty() {
            return Err(SessionError::Malformed("bytes after the array"));
        }
        return Ok(player.0);
    }
    while !bytes.is_empty() {
        budget.take()?;
        let name = bytes.until(b'|', NAME_BYTES_MAX)?;
        // A variable that was registered and has no value.
        if name.starts_with(b"!") {
            continue;
        }
        let value = anything(&mut bytes, &mut budget)?;
        if name == field.as_bytes() {
            player.found(value)?;
        }
    }
    Ok(player.0)
}

/// One whole value, however deep: what is open is counted, not recursed into.
fn anything(bytes: &mut Bytes<'_>, budget: &mut Budget) -> Result<Found, SessionError> {
    if let Some(found) = scalar(bytes)? {
        return Ok(found);
    }
    // Keys and values that each open array or object still has to come, innermost last.
    let mut open = vec![container(bytes)?];
    while let Some(parts) = open.last_mut() {
        if *parts == 0 {
            bytes.expect(b'}', "the end of an array or object")?;
            open.pop();
            continue;
        }
        let is_key = parts.is_multiple_of(2);
        *parts -= 1;
        budget.take()?;
        if scalar(bytes)?.is_some() {
            continue;
        }
        if is_key {
            return Err(SessionError::Malformed("a key that is no text or number"));
        }
        if open.len() == DEPTH_MAX {
            return Err(SessionError::TooManyValues);
        }
        open.push(container(bytes)?);
    }
    Ok(Found::Other)
}

/// A value without parts; `None` if an array or an object begins here.
fn scalar(bytes: &mut Bytes<'_>) -> Result<Option<Found>, SessionError> {
    let kind = bytes.peek().ok_or(SessionError::Truncated)?;
    if matches!(kind, b'a' | b'O') {
        return Ok(None);
    }
    bytes.byte()?;
    if kind == b'N' {
        bytes.expect(b';', "a null")?;
        return Ok(Some(Found::Other));
    }
    if !matches!(kind, b'b' | b'i' | b'd' | b's' | b'r' | b'R' | b'E' | b'C' | b'S') {
        return Err(SessionError::Malformed("a value of no known kind"));
    }
    bytes.expect(b':', "a value")?;
    let found = match kind {
        b's' => {
            let text = counted(bytes)?;
            bytes.expect(b';', "a text")?;
            Found::Text(text.to_vec())
        }
        b'i' => {
            let digits = bytes.until(b';', NUMBER_BYTES_MAX)?;
            // A plus or a leading zero is taken by PHP, and never written.
            let number = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse::<i64>().ok());
            let number = number.filter(|number| number.to_string().as_bytes() == digits);
            Found::Signed(number.ok_or(NUMBER)?)
        }
        b'b' => match bytes.until(b';', 1)? {
            b"0" | b"1" => Found::Other,
            _ => return Err(SessionError::Malformed("a truth value")),
        },
        b'd' => {
            let digits = bytes.until(b';', FLOAT_BYTES_MAX)?;
            let number = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse::<f64>().ok());
            number.ok_or(NUMBER)?;
            Found::Other
        }
        // A reference to another value: the player's id is none.
        b'r' | b'R' => {
            number(bytes, b';')?;
            Found::Other
        }
        b'E' => {
            counted(bytes)?;
            bytes.expect(b';', "an enumeration")?;
            Found::Other
        }
        b'C' => return Err(SessionError::Unsupported("an object that serialises itself")),
        _ => return Err(SessionError::Unsupported("a text with escapes")),
    };
    Ok(Some(found))
}

/// The head of an array or an object; answers how many keys and values follow.
fn container(bytes: &mut Bytes<'_>) -> Result<usize, SessionError> {
    let kind = bytes.byte()?;
    bytes.expect(b':', "an array or object")?;
    if kind == b'O' {
        counted(bytes)?;
        bytes.expect(b':', "an object")?;
    }
    let pairs = number(bytes, b':')?;
    bytes.expect(b'{', "an array or object")?;
    pairs.checked_mul(2).ok_or(SessionError::TooManyValues)
}

/// `LENGTH:"BYTES"`.
fn counted<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8], SessionError> {
    let count = number(bytes, b':')?;
    bytes.expect(b'"', "a text")?;
    let text = bytes.take(count)?;
    match bytes.byte()? {
        b'"' => Ok(text),
        _ => Err(TEXT),
    }
}

fn number(bytes: &mut Bytes<'_>, end: u8) -> Result<usize, SessionError> {
    let digits = bytes.until(end, NUMBER_BYTES_MAX)?;
    let plain = digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok());
    number.filter(|_| plain).ok_or(NUMBER)
}
