//! Go's encoding/gob of `map[interface{}]interface{}` (the package's documentation, "Encoding Details").
//!
//! A stream is messages: a length, then a type's id. A negative id defines a type, up to the message's end. The value holds a
//! zero byte, the number of pairs, and for each of them two interface values: the concrete type's name, its id, a length, a
//! zero byte and the value. Where a type is met for the first time within the value, its definition stands there, and the value goes
//! on in the next message. Strings and whole numbers are read; any other value has a length and is passed over, if its type cannot
//! hold an interface, below which the encoder may define types once more. Maps and lists of interfaces are looked
//! through instead, and refused if it does; anything else with an interface in it is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::{Budget, Bytes, DEPTH_MAX, Found, Player, SessionError};

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
/// Types that one stream may define, and what all of them may refer to.
const DEFINITIONS_MAX: usize = 256;
const PARTS_MAX: usize = 1024;

pub fn find(value: &[u8], field: &str) -> Result<Option<Found>, SessionError> {
    let mut reader = Reader {
        stream: Bytes(value),
        message: Bytes(&[]),
        types: BTreeMap::new(),
        parts: 0,
        budget: Budget::default(),
    };
    let id = reader.concrete()?;
    match reader.types.get(&id) {
        Some(Type::Map(INTERFACE, INTERFACE)) => {}
        _ => {
            return Err(SessionError::Unsupported(
                "a value other than map[interface{}]interface{}",
            ));
        }
    }
    let found = reader.pairs(field)?;
    if reader.message.is_empty() && reader.stream.is_empty() {
        Ok(found)
    } else {
        Err(SessionError::Malformed("bytes after the last pair"))
    }
}

/// What a definition says.
#[derive(Debug)]
enum Type {
    Map(i64, i64),
    Slice(i64),
    /// An array or a struct, and the types in it.
    Other(Vec<i64>),
}

struct Reader<'a> {
    stream: Bytes<'a>,
    /// What is left of the message that is being read.
    message: Bytes<'a>,
    types: BTreeMap<i64, Type>,
    parts: usize,
    budget: Budget,
}

impl Reader<'_> {
    /// The id of the type of the value that follows, past all definitions.
    fn concrete(&mut self) -> Result<i64, SessionError> {
        loop {
            if self.message.is_empty() {
                let bytes = length(&mut self.stream)?;
                self.message = Bytes(self.stream.take(bytes)?);
            }
            let id = signed(&mut self.message)?;
            if id >= 0 {
                return Ok(id);
            }
            let id = id.checked_neg().filter(|id| *id >= USER_FIRST);
            self.define(id.ok_or(SessionError::Malformed("a definition of one of Go's own types"))?)?;
        }
    }

    /// A `wireType`: one of its fields is there, the form of the type, and begins with the type's name and id.
    fn define(&mut self, id: i64) -> Result<(), SessionError> {
        const WRONG: SessionError = SessionError::Malformed("the definition of a type");
        let message = &mut self.message;
        let form = unsigned(message)?;
        let mut parts = Vec::new();
        fields(message, |field, message| match (form, field) {
            (1..=7, 1) => fields(message, |field, message| match field {
                1 => {
                    let bytes = length(message)?;
                    message.take(bytes).map(drop)
                }
                2 if signed(message)? == id => Ok(()),
                _ => Err(WRONG),
            }),
            // An array's element, a list's, a map's key.
            (1 | 2 | 4, 2) | (4, 3) => {
                parts.push(signed(message)?);
                Ok(())
            }
            // How long an array is.
            (1, 3) => signed(message).map(drop),
            (3, 2) => {
                for _ in 0..unsigned(message)? {
                    fields(message, |field, message| match field {
                        1 => {
                            let bytes = length(message)?;
                            message.take(bytes).map(drop)
                        }
                        2 if parts.len() < PARTS_MAX => {
                            parts.push(signed(message)?);
                            Ok(())
                        }
                        _ => Err(WRONG),
                    })?;
                }
                Ok(())
            }
            _ => Err(WRONG),
        })?;
        if unsigned(message)? != 0 || !message.is_empty() {
            return Err(WRONG);
        }
        self.parts += parts.len();
        let defined = match (form, parts.as_slice()) {
            (4, [key, element]) => Type::Map(*key, *element),
            (2, [element]) => Type::Slice(*element),
            (1 | 3 | 5..=7, _) => Type::Other(parts),
            _ => return Err(WRONG),
        };
        if self.types.insert(id, defined).is_some() {
            return Err(SessionError::Malformed("a type that is defined twice"));
        }
        if self.types.len() > DEFINITIONS_MAX || self.parts > PARTS_MAX {
            return Err(SessionError::TooManyValues);
        }
        Ok(())
    }

    fn pairs(&mut self, field: &str) -> Result<Option<Found>, SessionError> {
        self.message.expect(0, "a value that is no single one")?;
        let count = unsigned(&mut self.message)?;
        let mut player = Player::default();
        // A count that lies runs into the message's end, or out of the budget.
        for _ in 0..count {
            let key = self.interface()?;
            let value = self.interface()?;
            if matches!(key, Found::Text(key) if key == field.as_bytes()) {
                player.found(value)?;
            }
        }
        Ok(player.0)
    }

    fn interface(&mut self) -> Result<Found, SessionError> {
        let bytes = length(&mut self.message)?;
        let name = self.message.take(bytes)?;
        if name.is_empty() {
            self.budget.take()?;
            return Ok(Found::Other);
        }
        let id = self.concrete()?;
        let bytes = length(&mut self.message)?;
        let value = Bytes(self.message.take(bytes)?);
        self.value(name, id, value, 0)
    }

    /// An interface within a value that is looked through.
    fn inner_interface(&mut self, message: &mut Bytes<'_>, depth: usize) -> Result<(), SessionError> {
        let bytes = length(message)?;
        let name = message.take(bytes)?;
        if name.is_empty() {
            return self.budget.take();
        }
        let id = signed(message)?;
        if id < 0 {
            return Err(SessionError::Unsupported("a type that is defined within a value"));
        }
        let bytes = length(message)?;
        let value = Bytes(message.take(bytes)?);
        self.value(name, id, value, depth).map(drop)
    }

    fn value(
        &mut self,
        name: &[u8],
        id: i64,
        mut value: Bytes<'_>,
        depth: usize,
    ) -> Result<Found, SessionError> {
        self.budget.take()?;
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
            (BOOL | INT | UINT | FLOAT | BYTES | STRING | COMPLEX, _) => return Ok(Found::Other),
            _ => return self.composite(id, value, depth).map(|()| Found::Other),
        };
        if value.is_empty() {
            Ok(found)
        } else {
            Err(SessionError::Malformed("bytes after a value"))
        }
    }

    fn composite(&mut self, id: i64, mut value: Bytes<'_>, depth: usize) -> Result<(), SessionError> {
        let of_each = match self.types.get(&id) {
            None => return Err(SessionError::Malformed("a type that is not defined")),
            Some(Type::Map(INTERFACE, INTERFACE)) => 2,
            Some(Type::Slice(INTERFACE)) => 1,
            Some(_) if !self.may_hold_an_interface(id) => return Ok(()),
            Some(_) => return Err(SessionError::Unsupported("a type with an interface in it")),
        };
        if depth == DEPTH_MAX {
            return Err(SessionError::TooManyValues);
        }
        value.expect(0, "a value that is no single one")?;
        for _ in 0..unsigned(&mut value)? {
            for _ in 0..of_each {
                self.inner_interface(&mut value, depth + 1)?;
            }
        }
        if value.is_empty() {
            Ok(())
        } else {
            Err(SessionError::Malformed("bytes after a value"))
        }
    }

    /// A type that is not defined yet may be anything.
    fn may_hold_an_interface(&self, id: i64) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if id < USER_FIRST {
                if id == INTERFACE || !(BOOL..=COMPLEX).contains(&id) {
                    return true;
                }
                continue;
            }
            if !seen.insert(id) {
                continue;
            }
            match self.types.get(&id) {
                None => return true,
                Some(Type::Map(key, element)) => open.extend([*key, *element]),
                Some(Type::Slice(element)) => open.push(*element),
                Some(Type::Other(parts)) => open.extend(parts),
            }
        }
        false
    }
}

/// A struct: each field that is not zero, by how far its number is from the one before, up to a zero.
fn fields<'a>(
    message: &mut Bytes<'a>,
    mut field: impl FnMut(u64, &mut Bytes<'a>) -> Result<(), SessionError>,
) -> Result<(), SessionError> {
    let mut number = 0_u64;
    loop {
        match unsigned(message)? {
            0 => return Ok(()),
            delta => number = number.saturating_add(delta),
        }
        field(number, message)?;
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
