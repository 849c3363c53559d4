use std::borrow::Cow;

/// A password as SCRAM hashes it: normalized with SASLprep (RFC 4013) where that is
/// possible, and otherwise as it is. PostgreSQL and libpq do the same, since their
/// passwords need not be UTF-8 or free of what SASLprep forbids.
pub(crate) fn normalized(password: &str) -> Cow<'_, str> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        _ => Cow::Borrowed(password),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc_and_what_it_forbids() {
        // RFC 4013, section 3
        assert_eq!(normalized("I\u{ad}X"), "IX");
        assert_eq!(normalized("user"), "user");
        assert_eq!(normalized("\u{aa}"), "a");
        assert_eq!(normalized("\u{2168}"), "IX");
        // prohibited: kept as they are
        assert_eq!(normalized("\u{7}"), "\u{7}");
        assert_eq!(normalized("\u{627}1"), "\u{627}1");
        // nothing would be left
        assert_eq!(normalized("\u{ad}"), "\u{ad}");
        assert_eq!(normalized("a\u{a0}b"), "a b");
    }
}
