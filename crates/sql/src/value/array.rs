use super::PgType;
use crate::catalog::array_items;

/// Appends the binary form of a list in the form `{a,"b c"}`: dimensions, whether any is NULL, the elements' type, their
/// count, the first index, and each with its length. `None` if an element is not of the type.
pub(super) fn encode(text: &str, element: PgType, out: &mut Vec<u8>) -> Option<()> {
    let items = array_items(text);
    let word = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_be_bytes());
    word(out, u32::from(!items.is_empty()));
    word(out, 0);
    word(out, element.oid());
    if items.is_empty() {
        return Some(());
    }
    word(out, u32::try_from(items.len()).ok()?);
    word(out, 1);
    for item in items {
        let bytes = match element {
            PgType::Int2 => item.parse::<i16>().ok()?.to_be_bytes().to_vec(),
            PgType::Int4 => item.parse::<i32>().ok()?.to_be_bytes().to_vec(),
            PgType::Oid => item.parse::<u32>().ok()?.to_be_bytes().to_vec(),
            _ => item.into_bytes(),
        };
        word(out, u32::try_from(bytes.len()).ok()?);
        out.extend_from_slice(&bytes);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_arrays() {
        let mut out = Vec::new();
        encode("{1,-2}", PgType::Int4, &mut out).unwrap();
        let words: Vec<i32> =
            out.chunks_exact(4).map(|word| i32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words, [1, 0, 23, 2, 1, 4, 1, 4, -2]);
        out.clear();
        encode("{}", PgType::Text, &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25]);
        assert_eq!(encode("{a}", PgType::Int2, &mut out), None);
    }
}
