/// The attributes of a SCRAM message, `a=...,b=...`, read in their order.
pub(super) struct Attributes<'a> {
    rest: Option<&'a str>,
}

/// What stands where an attribute was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unexpected {
    pub(super) expected: char,
    pub(super) found: Option<char>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(text: &'a str) -> Attributes<'a> {
        Attributes { rest: Some(text) }
    }

    /// The value of the next attribute, which has to be of that name.
    pub(super) fn next(&mut self, name: char) -> Result<&'a str, Unexpected> {
        let text = self.rest.unwrap_or_default();
        let unexpected = Unexpected { expected: name, found: text.chars().next() };
        let after = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or(unexpected)?;
        let (value, rest) = match after.split_once(',') {
            Some((value, rest)) => (value, Some(rest)),
            None => (after, None),
        };
        self.rest = rest;
        Ok(value)
    }
}

/// Whether a nonce has only the characters that one may have: printable ASCII but no comma.
pub(super) fn is_printable(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b',')
}
