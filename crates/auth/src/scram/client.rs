use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::attributes::{Attributes, Unexpected};
use super::{BINDING_TYPE, MECHANISM, MECHANISM_PLUS};
use crate::verifier::{Key, Keys, equal, hmac_sha256};

/// The most rounds that a server may ask for. Each costs time, and a server that is not
/// ours could ask for four thousand million.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// What the client knows about the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientBinding {
    /// No TLS, or the user wants no binding.
    Unsupported,
    /// TLS, but the server offers no binding: it is told that we would have.
    NotOffered,
    /// TLS, and the server binds: the hash of the certificate that we see.
    EndPoint(Vec<u8>),
}

/// A server whose answers are not those of one that knows the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientScramError {
    /// Not the attributes that belong there.
    #[error("malformed SCRAM message: expected attribute \"{0}\"")]
    Malformed(char),
    /// The server refused.
    #[error("error received from server in SCRAM exchange: {0}")]
    Refused(String),
    /// The server's nonce does not begin with ours: it answers somebody else.
    #[error("invalid SCRAM response (nonce mismatch)")]
    Nonce,
    /// The salt is no base64.
    #[error("malformed SCRAM message (invalid salt)")]
    Salt,
    /// Not a number of rounds, or too many.
    #[error("malformed SCRAM message (invalid iteration count \"{0}\"; at most {ITERATIONS_MAX})")]
    Iterations(String),
    /// The server does not know the password's verifier.
    #[error("incorrect server signature: the server does not know the password")]
    Signature,
}

impl From<Unexpected> for ClientScramError {
    fn from(unexpected: Unexpected) -> ClientScramError {
        ClientScramError::Malformed(unexpected.expected)
    }
}

/// A client's side of one exchange, before the challenge.
pub struct ClientExchange {
    password: String,
    binding: ClientBinding,
    nonce: String,
}

/// A client that has shown its proof, and waits for the server's.
#[derive(Debug)]
pub struct ProvenClient {
    expected: Key,
}

impl ClientExchange {
    /// Begins: the exchange and the first message. `nonce` has to be fresh.
    pub fn begin(password: &str, binding: ClientBinding, nonce: String) -> (ClientExchange, String) {
        let exchange = ClientExchange { password: password.to_owned(), binding, nonce };
        let first = format!("{}{}", exchange.flags(), exchange.bare());
        (exchange, first)
    }

    /// Which mechanism to name with the first message.
    pub fn mechanism(&self) -> &'static str {
        match self.binding {
            ClientBinding::EndPoint(_) => MECHANISM_PLUS,
            _ => MECHANISM,
        }
    }

    fn flags(&self) -> String {
        match self.binding {
            ClientBinding::Unsupported => "n,,".to_owned(),
            ClientBinding::NotOffered => "y,,".to_owned(),
            ClientBinding::EndPoint(_) => format!("p={BINDING_TYPE},,"),
        }
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// Answers the challenge with the proof.
    ///
    /// # Errors
    /// When it is not a challenge, or not one to us.
    pub fn respond(self, challenge: &str) -> Result<(ProvenClient, String), ClientScramError> {
        let mut attributes = Attributes::new(challenge);
        let nonce = attributes.next('r')?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ClientScramError::Nonce);
        }
        let salt = STANDARD.decode(attributes.next('s')?).map_err(|_| ClientScramError::Salt)?;
        let iterations = attributes.next('i')?;
        let iterations = iterations
            .parse()
            .ok()
            .filter(|&count: &NonZeroU32| count.get() <= ITERATIONS_MAX)
            .ok_or_else(|| ClientScramError::Iterations(iterations.chars().take(20).collect()))?;
        let mut binding = self.flags().into_bytes();
        if let ClientBinding::EndPoint(hash) = &self.binding {
            binding.extend_from_slice(hash);
        }
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(binding));
        let signed = format!("{},{challenge},{without_proof}", self.bare());
        let keys = Keys::derive(&self.password, &salt, iterations);
        let mut proof = hmac_sha256(&keys.stored, signed.as_bytes());
        proof.iter_mut().zip(keys.client).for_each(|(byte, other)| *byte ^= other);
        let expected = hmac_sha256(&keys.server, signed.as_bytes());
        Ok((ProvenClient { expected }, format!("{without_proof},p={}", STANDARD.encode(proof))))
    }
}

impl ProvenClient {
    /// Checks that the server knows the password's verifier too.
    ///
    /// # Errors
    /// When it does not, or refused.
    pub fn verify(self, message: &str) -> Result<(), ClientScramError> {
        if let Some(refusal) = message.strip_prefix("e=") {
            return Err(ClientScramError::Refused(refusal.chars().take(100).collect()));
        }
        let found = Attributes::new(message).next('v')?;
        let found: Option<Key> = STANDARD.decode(found).ok().and_then(|bytes| bytes.try_into().ok());
        match found {
            Some(found) if equal(&found, &self.expected) => Ok(()),
            _ => Err(ClientScramError::Signature),
        }
    }
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientExchange").field("binding", &self.binding).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ServerExchange;
    use super::*;
    use crate::Verifier;

    fn exchange(
        kept: &str,
        given: &str,
        client: ClientBinding,
        server: Option<&[u8]>,
    ) -> Result<bool, Box<dyn std::error::Error>> {
        let (exchange, first) = ClientExchange::begin(given, client, "abc".into());
        let verifier = Verifier::new(kept)?;
        let (waiting, challenge) =
            ServerExchange::begin(verifier, exchange.mechanism(), first.as_bytes(), server, "def".into())?;
        let (proven, last) = exchange.respond(&challenge)?;
        let Some(proof) = waiting.finish(last.as_bytes())? else { return Ok(false) };
        proven.verify(&proof)?;
        Ok(true)
    }

    #[test]
    fn both_halves_agree_with_and_without_binding() {
        let bound = || ClientBinding::EndPoint(b"hash".to_vec());
        assert!(exchange("a", "a", ClientBinding::Unsupported, None).unwrap());
        assert!(!exchange("a", "b", ClientBinding::Unsupported, None).unwrap());
        assert!(exchange("a", "a", bound(), Some(b"hash")).unwrap());
        assert!(exchange("a", "a", bound(), Some(b"other")).is_err());
        assert!(exchange("a", "a", ClientBinding::NotOffered, Some(b"hash")).is_err());
        // SASLprep makes the same of both
        assert!(exchange("I\u{ad}X", "\u{2168}", ClientBinding::Unsupported, None).unwrap());
        let odd = "'\"$\\;\u{1f511} \u{0}\u{7}, =%";
        assert!(exchange(odd, odd, ClientBinding::Unsupported, None).unwrap());
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let (client, _) = ClientExchange::begin("a", ClientBinding::Unsupported, "abc".into());
        let (proven, _) = client.respond("r=abcdef,s=AAAA,i=4096").unwrap();
        let lie = format!("v={}", STANDARD.encode([7; 32]));
        assert_eq!(proven.verify(&lie), Err(ClientScramError::Signature));
        for (challenge, error) in [
            ("r=xyz,s=AAAA,i=4096", ClientScramError::Nonce),
            ("r=abc,s=AAAA,i=4096", ClientScramError::Nonce),
            ("r=abcd,s=!,i=4096", ClientScramError::Salt),
            ("r=abcd,s=AAAA,i=0", ClientScramError::Iterations("0".into())),
            ("r=abcd,s=AAAA,i=4000000000", ClientScramError::Iterations("4000000000".into())),
            ("r=abcd,i=1", ClientScramError::Malformed('s')),
        ] {
            let (client, _) = ClientExchange::begin("a", ClientBinding::Unsupported, "abc".into());
            assert_eq!(client.respond(challenge).unwrap_err(), error, "{challenge}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_password_logs_in(password in "\\PC{1,40}") {
            prop_assert!(exchange(&password, &password, ClientBinding::Unsupported, None).unwrap());
        }
    }
}
