use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use crate::random::{RandomError, random};
use crate::saslprep::normalized;

/// Rounds of PBKDF2 for a new verifier: PostgreSQL 15's `SCRAM_SHA_256_DEFAULT_ITERATIONS`.
pub const ITERATIONS_DEFAULT: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// Bytes of a key: SHA-256's output.
pub(crate) const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;
/// Bytes of a new salt: PostgreSQL's `SCRAM_DEFAULT_SALT_LEN`.
const SALT_BYTES: usize = 16;
const PREFIX: &str = "SCRAM-SHA-256$";

/// A 256-bit key.
pub(crate) type Key = [u8; KEY_BYTES];

/// What is kept of a password: enough to check a login, not enough to log in.
///
/// Its text is PostgreSQL's: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, the last
/// three in base64. Debug output hides the keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(crate) iterations: NonZeroU32,
    pub(crate) salt: Vec<u8>,
    pub(crate) stored_key: Key,
    pub(crate) server_key: Key,
}

/// A text that is not a SCRAM-SHA-256 verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid SCRAM-SHA-256 verifier: expected SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")]
pub struct InvalidVerifier;

/// The keys that a password, salt and number of rounds give.
pub(crate) struct Keys {
    pub(crate) client: Key,
    pub(crate) stored: Key,
    pub(crate) server: Key,
}

impl Keys {
    pub(crate) fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Keys {
        let mut salted: Key = [0; KEY_BYTES];
        let password = normalized(password);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
        let client = hmac_sha256(&salted, b"Client Key");
        Keys { client, stored: sha256(&client), server: hmac_sha256(&salted, b"Server Key") }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    key
}

pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> Key {
    let mut tag = [0; KEY_BYTES];
    tag.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref());
    tag
}

impl Verifier {
    /// The verifier of a password, with a new salt.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn new(password: &str) -> Result<Verifier, RandomError> {
        Ok(Verifier::with_salt(password, &random::<SALT_BYTES>()?, ITERATIONS_DEFAULT))
    }

    /// The verifier of a password with that salt.
    pub fn with_salt(password: &str, salt: &[u8], iterations: NonZeroU32) -> Verifier {
        let keys = Keys::derive(password, salt, iterations);
        Verifier { iterations, salt: salt.to_vec(), stored_key: keys.stored, server_key: keys.server }
    }

    /// What stands in for the verifier of a user who has none: an exchange with it looks
    /// like any other and always fails. The salt depends on the name and on `secret`, so
    /// that asking twice gives the same one, as it would for a real user.
    pub fn mock(secret: &[u8], user: &str) -> Verifier {
        let salt = hmac_sha256(secret, user.as_bytes());
        let salt = salt.get(..SALT_BYTES).unwrap_or(&salt).to_vec();
        Verifier {
            iterations: ITERATIONS_DEFAULT,
            salt,
            stored_key: [0; KEY_BYTES],
            server_key: [0; KEY_BYTES],
        }
    }

    /// Whether the verifier is that of this password.
    pub fn is_of(&self, password: &str) -> bool {
        equal(&Keys::derive(password, &self.salt, self.iterations).stored, &self.stored_key)
    }
}

/// Compares two keys in a time that does not tell where they differ.
pub(crate) fn equal(a: &Key, b: &Key) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b))) == 0
}

impl FromStr for Verifier {
    type Err = InvalidVerifier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.strip_prefix(PREFIX).and_then(|rest| {
            let (first, keys) = rest.split_once('$')?;
            let ((iterations, salt), (stored, server)) = (first.split_once(':')?, keys.split_once(':')?);
            Some(Verifier {
                iterations: iterations.parse().ok()?,
                salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
                stored_key: STANDARD.decode(stored).ok()?.try_into().ok()?,
                server_key: STANDARD.decode(server).ok()?.try_into().ok()?,
            })
        });
        parts.ok_or(InvalidVerifier)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{PREFIX}{}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({PREFIX}{}:********)", self.iterations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_postgresqls() {
        // the salt and proof keys of RFC 7677's example
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::with_salt("pencil", &salt, ITERATIONS_DEFAULT);
        let text = verifier.to_string();
        assert_eq!(
            text,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(text.parse(), Ok(verifier.clone()));
        assert!(verifier.is_of("pencil") && !verifier.is_of("pencils"));
        assert!(!format!("{verifier:?}").contains("WG5d8"));
    }

    #[test]
    fn what_is_no_verifier_is_refused() {
        let good = Verifier::new("x").unwrap().to_string();
        for bad in [
            "",
            "md5d41d8cd98f00b204e9800998ecf8427e",
            "SCRAM-SHA-256$0:AAAA$AAAA:AAAA",
            "SCRAM-SHA-256$4096$x",
            &good[..good.len() - 1],
            &good.replace(':', ""),
        ] {
            assert_eq!(bad.parse::<Verifier>(), Err(InvalidVerifier), "{bad}");
        }
    }

    #[test]
    fn a_stand_in_is_the_same_for_the_same_name_only() {
        let mock = |secret: &[u8], user| Verifier::mock(secret, user).salt;
        assert_eq!(mock(b"s", "ann"), mock(b"s", "ann"));
        assert_ne!(mock(b"s", "ann"), mock(b"s", "bob"));
        assert_ne!(mock(b"s", "ann"), mock(b"t", "ann"));
    }
}
