//! What a descriptor set's bytes tell before it is decoded: what it costs, for a small one can describe more than
//! memory holds, with many empty descriptors or with long names that many others repeat; and its files' syntax, for
//! decoding one that is neither proto2 nor proto3 can panic.

use crate::error::BuildError;
use crate::wire::{DEPTH_MAX, Damaged, Reader, Value};

/// Fields on the wire, of all messages. Decoded, one takes some hundred bytes, and an empty file two KiB.
const FIELDS_MAX: usize = 1 << 19;
/// The full names of all that is described, together.
const NAMES_BYTES_MAX: usize = 64 << 20;

/// Damage is passed over: decoding finds it, and takes no more than there is before it.
pub(crate) fn check(set: &[u8]) -> Result<(), BuildError> {
    let mut left = FIELDS_MAX;
    count_fields(set, 0, &mut left);
    if left == 0 {
        return Err(BuildError::TooMuch {
            what: "fields",
            max: FIELDS_MAX,
        });
    }
    let mut left = NAMES_BYTES_MAX;
    count_names(Kind::Set, set, 0, 0, &mut left);
    if left == 0 {
        return Err(BuildError::TooMuch {
            what: "bytes of full names",
            max: NAMES_BYTES_MAX,
        });
    }
    check_syntax(set)
}

/// Of every file, each time it says it: the last one counts, but no compiler writes two.
fn check_syntax(set: &[u8]) -> Result<(), BuildError> {
    for file in strings(set, 1) {
        if let Some(syntax) = strings(file, 12).find(|syntax| !matches!(*syntax, b"proto2" | b"proto3")) {
            return Err(BuildError::Syntax {
                file: shown(strings(file, 1).last().unwrap_or_default()),
                syntax: shown(syntax),
            });
        }
    }
    Ok(())
}

fn shown(bytes: &[u8]) -> String {
    crate::scalar::shown(&String::from_utf8_lossy(bytes))
}

/// The fields of one number that hold bytes.
fn strings(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(message);
    std::iter::from_fn(move || {
        while !reader.is_empty() {
            match field(&mut reader).ok()? {
                (found, Some(Value::Bytes(bytes))) if found == number => return Some(bytes),
                _ => {}
            }
        }
        None
    })
}

/// Whatever can be read as a message counts as one: options hold messages that nothing here knows.
fn count_fields(bytes: &[u8], depth: usize, left: &mut usize) {
    let mut reader = Reader::new(bytes);
    while *left > 0
        && !reader.is_empty()
        && let Ok(value) = field(&mut reader)
    {
        *left -= 1;
        if let (_, Some(Value::Bytes(inner))) = value
            && depth < DEPTH_MAX
        {
            count_fields(inner, depth + 1, left);
        }
    }
}

/// The parts of google/protobuf/descriptor.proto that have names, or hold what has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    File,
    Message,
    Enum,
    Service,
    /// A field, a oneof, a value or a method.
    Leaf,
}

impl Kind {
    fn child(self, number: u32) -> Option<Self> {
        Some(match (self, number) {
            (Self::Set, 1) => Self::File,
            (Self::File, 4) | (Self::Message, 3) => Self::Message,
            (Self::File, 5) | (Self::Message, 4) => Self::Enum,
            (Self::File, 6) => Self::Service,
            (Self::File, 7) | (Self::Message, 2 | 6 | 8) | (Self::Enum | Self::Service, 2) => Self::Leaf,
            _ => return None,
        })
    }

    /// The field with the name that those of its parts begin with.
    fn name(self) -> Option<u32> {
        match self {
            Self::Set => None,
            // Its package.
            Self::File => Some(2),
            Self::Message | Self::Enum | Self::Service | Self::Leaf => Some(1),
        }
    }
}

/// `around`: the length of the name of what it lies in.
fn count_names(kind: Kind, bytes: &[u8], around: usize, depth: usize, left: &mut usize) {
    let mut own = around;
    let mut reader = Reader::new(bytes);
    while !reader.is_empty()
        && let Ok((number, value)) = field(&mut reader)
    {
        if let Some(Value::Bytes(name)) = value
            && kind.name() == Some(number)
        {
            own = around + 1 + name.len();
        }
    }
    *left = left.saturating_sub(own);
    let mut reader = Reader::new(bytes);
    while *left > 0
        && depth < DEPTH_MAX
        && !reader.is_empty()
        && let Ok((number, value)) = field(&mut reader)
    {
        if let (Some(child), Some(Value::Bytes(inner))) = (kind.child(number), value) {
            count_names(child, inner, own, depth + 1, left);
        }
    }
}

fn field<'a>(reader: &mut Reader<'a>) -> Result<(u32, Option<Value<'a>>), Damaged> {
    let (number, wire) = reader.tag()?;
    Ok((number, reader.value(wire)?))
}
