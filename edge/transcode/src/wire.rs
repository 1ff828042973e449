//! The protobuf wire format (protobuf.dev/programming-guides/encoding): what a transcoder writes and reads.

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LEN: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
pub(crate) const FIXED32: u8 = 5;

/// Messages within messages, at most: what decoders of protobuf commonly allow.
pub(crate) const DEPTH_MAX: usize = 100;

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, (u64::from(number) << 3) | u64::from(wire));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, LEN);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Begins a field whose length is not known yet; [`end`] wants what this returns.
pub(crate) fn begin(out: &mut Vec<u8>, number: u32) -> usize {
    put_tag(out, number, LEN);
    out.push(0);
    out.len()
}

pub(crate) fn end(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(10);
        put_varint(&mut prefix, length as u64);
        out.splice(start - 1..start, prefix);
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0u64;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[index + 1..];
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    /// The number of the next field and its wire type.
    pub(crate) fn tag(&mut self) -> Result<(u32, u8), Damaged> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Damaged)?;
        if number == 0 {
            return Err(Damaged);
        }
        Ok((number, (tag & 7) as u8))
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, Damaged> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(Damaged)?;
        self.bytes = tail;
        Ok(u32::from_le_bytes(*head))
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, Damaged> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(Damaged)?;
        self.bytes = tail;
        Ok(u64::from_le_bytes(*head))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
        let (head, tail) = self.bytes.split_at_checked(length).ok_or(Damaged)?;
        self.bytes = tail;
        Ok(head)
    }

    /// The value of a field, whatever it is; nothing for a group, which is passed over.
    pub(crate) fn value(&mut self, wire: u8) -> Result<Option<Value<'a>>, Damaged> {
        Ok(Some(match wire {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(self.fixed64()?),
            LEN => Value::Bytes(self.bytes()?),
            FIXED32 => Value::Fixed32(self.fixed32()?),
            GROUP_START => {
                self.skip_group()?;
                return Ok(None);
            }
            _ => return Err(Damaged),
        }))
    }

    fn skip_group(&mut self) -> Result<(), Damaged> {
        let mut open = 1usize;
        while open > 0 {
            let (_, wire) = self.tag()?;
            match wire {
                GROUP_START => open += 1,
                GROUP_END => open -= 1,
                _ => {
                    self.value(wire)?;
                }
            }
        }
        Ok(())
    }
}

/// What a field holds on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// As proto3 leaves it out.
    pub(crate) fn is_default(&self) -> bool {
        match self {
            Self::Varint(value) | Self::Fixed64(value) => *value == 0,
            Self::Fixed32(value) => *value == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
