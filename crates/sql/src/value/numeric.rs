//! PostgreSQL's binary numeric: digits of base 10000, the weight of the first, a sign, a scale.

const BASE_DIGITS: i32 = 4;
const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;

/// Appends the binary form of a decimal number (`-12.50`, `1e-3`, `NaN`); `None` if it is not one.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("nan") {
        [0, 0, SIGN_NAN, 0].iter().for_each(|word: &u16| out.extend_from_slice(&word.to_be_bytes()));
        return Some(());
    }
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    if !(-400..=400).contains(&exponent) {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // decimal digits in front of the point, once the exponent is applied
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let scale = (i32::try_from(digits.len()).ok()? - point).max(0);
    let first_group = point.div_euclid(BASE_DIGITS) + i32::from(point.rem_euclid(BASE_DIGITS) != 0);
    let last_group = -((scale + BASE_DIGITS - 1) / BASE_DIGITS);
    let digit = |place: i32| {
        let at = usize::try_from(point - 1 - place).ok();
        at.and_then(|at| digits.get(at)).map_or(0, |&d| u16::from(d - b'0'))
    };
    let mut groups: Vec<u16> = (last_group..first_group)
        .rev()
        .map(|group| (0..BASE_DIGITS).rev().fold(0, |sum, i| sum * 10 + digit(group * BASE_DIGITS + i)))
        .collect();
    let mut weight = first_group - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let is_zero = groups.is_empty();
    out.extend_from_slice(&u16::try_from(groups.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&if is_zero { 0 } else { i16::try_from(weight).ok()? }.to_be_bytes());
    let sign = if negative && !is_zero { SIGN_NEGATIVE } else { SIGN_POSITIVE };
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::try_from(scale).ok()?.to_be_bytes());
    groups.iter().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
    Some(())
}

/// The decimal text of a binary numeric; `None` if it is malformed.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let count = usize::from(words.next()?);
    let weight = i32::from(words.next()? as i16);
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    let groups: Vec<u16> = words.collect();
    if groups.len() != count || !bytes.len().is_multiple_of(2) || groups.iter().any(|&group| group > 9999) {
        return None;
    }
    if sign == SIGN_NAN {
        return Some("NaN".to_owned());
    }
    let group = |at: i32| usize::try_from(weight - at).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
    let mut text: String = (0..=weight.max(0)).rev().map(|at| format!("{:04}", group(at))).collect();
    text = text.trim_start_matches('0').to_owned();
    if text.is_empty() {
        text.push('0');
    }
    if scale > 0 {
        let groups_behind = i32::try_from(scale.div_ceil(4)).ok()?;
        let fraction: String = (1..=groups_behind).map(|at| format!("{:04}", group(-at))).collect();
        text.push('.');
        text.push_str(fraction.get(..scale)?);
    }
    if sign == SIGN_NEGATIVE {
        text.insert(0, '-');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> Option<String> {
        let mut bytes = vec![];
        encode(text, &mut bytes)?;
        decode(&bytes)
    }

    #[test]
    fn numbers_round_trip() {
        for text in [
            "0",
            "1",
            "-12.50",
            "10000",
            "99999999.0001",
            "0.00001234",
            "-123456789012345678901234567890",
            "NaN",
        ] {
            assert_eq!(round(text).as_deref(), Some(text), "{text}");
        }
        assert_eq!(round("1.5e3").as_deref(), Some("1500"));
        assert_eq!(round("25e-4").as_deref(), Some("0.0025"));
        assert_eq!(round("abc"), None);
        assert_eq!(round(""), None);
        assert_eq!(decode(b"\0\x01"), None);
    }

    #[test]
    fn bytes_are_postgresqls() {
        // PostgreSQL 15: select numeric_send(-12.50)
        let mut bytes = vec![];
        encode("-12.50", &mut bytes).unwrap();
        assert_eq!(bytes, [0, 2, 0, 0, 0x40, 0, 0, 2, 0, 12, 0x13, 0x88]);
    }
}
