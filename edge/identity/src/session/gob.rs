//! Go's encoding/gob of `map[interface{}]interface{}` (the package's documentation, "Encoding Details").
//!
//! A stream is messages: a length, then a type's id. A negative id defines a type: only the map's own definition is
//! looked at. The value's message holds a zero byte, the number of pairs, and for each of them two interface values:
//! the concrete type's name, its id, a length, a zero byte and the value. Strings and whole numbers are read; any other value
//! has a length and is passed over.

use super::{Budget, Bytes, Found, Player, SessionError};

/// Ids of Go's own types, fixed by the package.
const BOOL: i64 = 1;
const INT: i64 = 2;
const UINT: i64 = 3;
const FLOAT: i64 = 4;
const BYTES: i64 = 5;
const STRING: i64 = 6;
const COMPLEX: i64 = 7;
const INTERFACE: i64 = 8;
/// From here on types are defined in the stream.
const USER_FIRST: i64 = 64;
/// Types that one stream may define.
const DEFINITIONS_MAX: usize = 256;

pub fn find(value: &[u8], field: &str) -> Result<Option<Found>, SessionError> {
    let mut stream = Bytes(value);
    let mut maps = Vec::new();
    let mut definitions = 0;
    loop {
        let bytes = length(&mut stream)?;
        let mut message = Bytes(stream.take(bytes)?);
        let id = signed(&mut message)?;
        if id >= 0 {
            if !maps.contains(&id) {
                return Err(SessionError::Unsupported(
                    "a value other than map[interface{}]interface{}",
                ));
            }
            if !stream.is_empty() {
                return Err(SessionError::Malformed("more than one value"));
            }
            return pairs(message, field);
        }
        definitions += 1;
        if definitions > DEFINITIONS_MAX {
            return Err(SessionError::TooManyValues);
        }
        let defined = id.checked_neg().ok_or(SessionError::Malformed("a type's id"))?;
        if is_map_of_interfaces(message, defined)? {
            maps.push(defined);
        }
    }
}

/// The definition of a type: a `wireType`, whose fourth field is the one of a map. Of any other only the first byte is
/// looked at; the message's length says where it ends.
fn is_map_of_interfaces(mut definition: Bytes<'_>, defined: i64) -> Result<bool, SessionError> {
    let malformed = |fits: bool| {
        if fits {
            Ok(())
        } else {
            Err(SessionError::Malformed("the definition of a map"))
        }
    };
    if defined < USER_FIRST {
        return Err(SessionError::Malformed("a definition of one of Go's own types"));
    }
    if unsigned(&mut definition)? != 4 {
        return Ok(false);
    }
    // mapType{commonType{Name, Id}, Key, Elem}; a field that is zero is left out.
    malformed(unsigned(&mut definition)? == 1)?;
    let mut delta = unsigned(&mut definition)?;
    if delta == 1 {
        let bytes = length(&mut definition)?;
        definition.take(bytes)?;
        delta = unsigned(&mut definition)?;
        malformed(delta == 1)?;
    } else {
        malformed(delta == 2)?;
    }
    malformed(signed(&mut definition)? == defined)?;
    malformed(unsigned(&mut definition)? == 0)?;
    malformed(unsigned(&mut definition)? == 1)?;
    let key = signed(&mut definition)?;
    malformed(unsigned(&mut definition)? == 1)?;
    let element = signed(&mut definition)?;
    Ok(key == INTERFACE && element == INTERFACE)
}

fn pairs(mut message: Bytes<'_>, field: &str) -> Result<Option<Found>, SessionError> {
    message.expect(0, "a value that is no single one")?;
    let count = unsigned(&mut message)?;
    let (mut budget, mut player) = (Budget::default(), Player::default());
    // A count that lies runs into the message's end, or out of the budget.
    for _ in 0..count {
        budget.take()?;
        let key = interface(&mut message)?;
        let value = interface(&mut message)?;
        if matches!(key, Found::Text(key) if key == field.as_bytes()) {
            player.found(value)?;
        }
    }
    if !message.is_empty() {
        return Err(SessionError::Malformed("bytes after the last pair"));
    }
    Ok(player.0)
}

fn interface(message: &mut Bytes<'_>) -> Result<Found, SessionError> {
    let bytes = length(message)?;
    let name = message.take(bytes)?;
    if name.is_empty() {
        return Ok(Found::Other);
    }
    let id = signed(message)?;
    if id < 0 {
        return Err(SessionError::Unsupported("a type that is defined within a value"));
    }
    let bytes = length(message)?;
    let mut value = Bytes(message.take(bytes)?);
    // A type of the program's own may have Go's string below it; its name then is the program's.
    let found = match (id, name) {
        (STRING, b"string") => {
            value.expect(0, "a text that is no single one")?;
            let bytes = length(&mut value)?;
            Found::Text(value.take(bytes)?.to_vec())
        }
        (INT, b"int" | b"int8" | b"int16" | b"int32" | b"int64") => {
            value.expect(0, "a number that is no single one")?;
            Found::Signed(signed(&mut value)?)
        }
        (UINT, b"uint" | b"uint8" | b"uint16" | b"uint32" | b"uint64" | b"uintptr") => {
            value.expect(0, "a number that is no single one")?;
            Found::Unsigned(unsigned(&mut value)?)
        }
        (BOOL | INT | UINT | FLOAT | BYTES | STRING | COMPLEX, _) | (USER_FIRST.., _) => {
            return Ok(Found::Other);
        }
        _ => return Err(SessionError::Malformed("a type's id")),
    };
    if value.is_empty() {
        Ok(found)
    } else {
        Err(SessionError::Malformed("bytes after a value"))
    }
}

/// A number below 128 is its own byte; any other is a byte that says how many bytes follow (negated), most significant
/// first.
fn unsigned(bytes: &mut Bytes<'_>) -> Result<u64, SessionError> {
    let first = bytes.byte()?;
    if first < 128 {
        return Ok(u64::from(first));
    }
    let count = usize::from(first.wrapping_neg());
    if count > 8 {
        return Err(SessionError::Malformed("a number of more than 8 bytes"));
    }
    Ok(bytes
        .take(count)?
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The lowest bit says whether the others are complemented.
fn signed(bytes: &mut Bytes<'_>) -> Result<i64, SessionError> {
    let number = unsigned(bytes)?;
    let magnitude = (number >> 1).cast_signed();
    Ok(if number & 1 == 1 { !magnitude } else { magnitude })
}

fn length(bytes: &mut Bytes<'_>) -> Result<usize, SessionError> {
    usize::try_from(unsigned(bytes)?).map_err(|_| SessionError::Truncated)
}
