/// Bytes that the largest number takes.
pub(super) const VARINT_LEN_MAX: usize = 10;

/// Appends `value` as LEB128: 7 bits per byte, lowest first, high bit set on all but the last.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What is at the start of `bytes`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Varint {
    /// A number, and how many bytes it takes.
    Value(u64, usize),
    /// The bytes end within it.
    Truncated,
    /// More than 64 bits, or longer than it needs to be: one number has one spelling.
    Overlong,
}

pub(super) fn get(bytes: &[u8]) -> Varint {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(VARINT_LEN_MAX).enumerate() {
        if index == VARINT_LEN_MAX - 1 && byte > 1 {
            return Varint::Overlong;
        }
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let padded = byte == 0 && index > 0;
            return if padded { Varint::Overlong } else { Varint::Value(value, index + 1) };
        }
    }
    if bytes.len() >= VARINT_LEN_MAX { Varint::Overlong } else { Varint::Truncated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_in_as_few_bytes_as_they_need() {
        for (value, len) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), len);
            assert_eq!(get(&out), Varint::Value(value, len));
            assert_eq!(get(&out[..len - 1]), Varint::Truncated);
        }
    }

    #[test]
    fn one_number_has_one_spelling() {
        assert_eq!(get(&[0x80, 0]), Varint::Overlong);
        assert_eq!(get(&[0xFF; 10]), Varint::Overlong);
        assert_eq!(get(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]), Varint::Overlong);
    }
}
