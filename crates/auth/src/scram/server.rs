use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::attributes::{Attributes, Unexpected, is_printable};
use super::{BINDING_TYPE, MECHANISM, MECHANISM_PLUS};
use crate::verifier::{Key, Verifier, equal, hmac_sha256, sha256};

/// A message of a client that is not what the exchange allows. The texts are PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerScramError {
    /// Not one of [`super::mechanisms`].
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    /// Not the attributes that belong there.
    #[error("malformed SCRAM message")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// The client thinks that we cannot bind, and we said that we can: somebody in between
    /// took it out of our offer.
    #[error("SCRAM channel binding negotiation error")]
    Downgraded,
    /// The client insists on a kind of channel binding that there is not.
    #[error("unsupported SCRAM channel-binding type \"{0}\"")]
    BindingType(String),
    /// The client insists on channel binding without TLS.
    #[error("client requires SCRAM channel binding, but it is not supported")]
    BindingImpossible,
    /// The client wants to act for somebody else.
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    /// An extension that we must not ignore.
    #[error("client requires an unsupported SCRAM extension")]
    Extension,
    /// A nonce that cannot be one.
    #[error("non-printable characters in SCRAM nonce")]
    Nonce,
    /// The client saw another certificate than ours, or another offer.
    #[error("SCRAM channel binding check failed")]
    BindingDiffers,
    /// The last message belongs to another exchange: a replay.
    #[error("invalid SCRAM response")]
    NonceDiffers,
}

impl ServerScramError {
    /// What PostgreSQL adds.
    pub fn detail(&self) -> Option<&str> {
        match self {
            ServerScramError::Malformed { detail } => Some(detail),
            ServerScramError::Downgraded => Some(
                "The client supports SCRAM channel binding but thinks the server does not.  However, this \
                 server does support channel binding.",
            ),
            ServerScramError::NonceDiffers => Some("Nonce does not match."),
            _ => None,
        }
    }

    /// SQLSTATE: that of a protocol violation, but for a binding that differs.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            ServerScramError::BindingDiffers => "28000",
            ServerScramError::AuthorizationIdentity | ServerScramError::Extension => "0A000",
            _ => "08P01",
        }
    }
}

impl From<Unexpected> for ServerScramError {
    fn from(unexpected: Unexpected) -> ServerScramError {
        let found = match unexpected.found {
            Some(found) => format!("\"{}\"", found.escape_default()),
            None => "the end of the message".to_owned(),
        };
        malformed(format!("Expected attribute \"{}\" but found {found}.", unexpected.expected))
    }
}

fn malformed(detail: impl Into<String>) -> ServerScramError {
    ServerScramError::Malformed { detail: detail.into() }
}

/// A server's side of one exchange, after the client's first message.
pub struct ServerExchange {
    verifier: Verifier,
    /// What the client's last message has to repeat: its flags, then the certificate's hash.
    expected_binding: Vec<u8>,
    nonce: String,
    /// Client-first-message-bare and server-first-message, as signed.
    signed: String,
}

impl ServerExchange {
    /// Answers the client's first message with the challenge.
    ///
    /// `binding` is the hash of the certificate that this connection was made with, where
    /// channel binding was offered. `nonce` has to be fresh and never used again.
    ///
    /// # Errors
    /// When the message is not a client's first, or asks for what is not offered.
    pub fn begin(
        verifier: Verifier,
        mechanism: &str,
        message: &[u8],
        binding: Option<&[u8]>,
        nonce: String,
    ) -> Result<(ServerExchange, String), ServerScramError> {
        let plus = match (mechanism, binding) {
            (MECHANISM, _) => false,
            (MECHANISM_PLUS, Some(_)) => true,
            _ => return Err(ServerScramError::Mechanism),
        };
        let text = text_of(message)?;
        let (flag, after) = text.split_once(',').ok_or_else(|| malformed("Comma expected."))?;
        check_flag(flag, plus, binding.is_some())?;
        let (identity, bare) = after.split_once(',').ok_or_else(|| malformed("Comma expected."))?;
        if !identity.is_empty() {
            return Err(ServerScramError::AuthorizationIdentity);
        }
        if bare.starts_with("m=") {
            return Err(ServerScramError::Extension);
        }
        let mut attributes = Attributes::new(bare);
        // the name of the start-up message counts; libpq leaves this one empty
        attributes.next('n')?;
        let client_nonce = attributes.next('r')?;
        if !is_printable(client_nonce) {
            return Err(ServerScramError::Nonce);
        }
        let nonce = format!("{client_nonce}{nonce}");
        let challenge = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let mut expected_binding = format!("{flag},,").into_bytes();
        if plus {
            expected_binding.extend_from_slice(binding.unwrap_or_default());
        }
        let signed = format!("{bare},{challenge}");
        Ok((ServerExchange { verifier, expected_binding, nonce, signed }, challenge))
    }

    /// Checks the client's last message. Where the password is right, the answer that
    /// proves us to the client; `None` where it is wrong.
    ///
    /// # Errors
    /// When the message is not a client's last, of this exchange and this connection.
    pub fn finish(self, message: &[u8]) -> Result<Option<String>, ServerScramError> {
        let text = text_of(message)?;
        let (without_proof, proof) =
            text.rsplit_once(",p=").ok_or_else(|| malformed("Attribute \"p\" expected."))?;
        let mut attributes = Attributes::new(without_proof);
        let binding = attributes.next('c')?;
        let binding = STANDARD.decode(binding).map_err(|_| malformed("Malformed channel binding."))?;
        if binding != self.expected_binding {
            return Err(ServerScramError::BindingDiffers);
        }
        if attributes.next('r')? != self.nonce {
            return Err(ServerScramError::NonceDiffers);
        }
        let proof: Key = STANDARD
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or_else(|| malformed("Malformed proof in client-final-message."))?;
        let signed = format!("{},{without_proof}", self.signed);
        let signature = hmac_sha256(&self.verifier.stored_key, signed.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
        if !equal(&sha256(&client_key), &self.verifier.stored_key) {
            return Ok(None);
        }
        let signature = hmac_sha256(&self.verifier.server_key, signed.as_bytes());
        Ok(Some(format!("v={}", STANDARD.encode(signature))))
    }
}

impl fmt::Debug for ServerExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerExchange").field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

fn text_of(message: &[u8]) -> Result<&str, ServerScramError> {
    match message {
        [] => Err(malformed("The message is empty.")),
        _ => std::str::from_utf8(message).map_err(|_| malformed("The message is not UTF-8.")),
    }
}

/// The flag that begins a client's first message: whether it binds, could, or cannot.
fn check_flag(flag: &str, plus: bool, offered: bool) -> Result<(), ServerScramError> {
    match flag {
        "n" | "y" if plus => Err(malformed(
            "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
        )),
        "n" => Ok(()),
        "y" if offered => Err(ServerScramError::Downgraded),
        "y" => Ok(()),
        _ => match flag.strip_prefix("p=") {
            Some(_) if !offered => Err(ServerScramError::BindingImpossible),
            Some(_) if !plus => Err(malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes \
                 channel binding data.",
            )),
            Some(BINDING_TYPE) => Ok(()),
            Some(other) => Err(ServerScramError::BindingType(other.chars().take(40).collect())),
            None => Err(malformed(format!(
                "Unexpected channel-binding flag \"{}\".",
                flag.chars().take(1).collect::<String>().escape_default()
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verifier::ITERATIONS_DEFAULT;

    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";

    fn verifier() -> Verifier {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Verifier::with_salt("pencil", &salt, ITERATIONS_DEFAULT)
    }

    fn begin(
        mechanism: &str,
        message: &str,
        binding: Option<&[u8]>,
    ) -> Result<(ServerExchange, String), ServerScramError> {
        let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
        ServerExchange::begin(verifier(), mechanism, message.as_bytes(), binding, nonce)
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc() {
        let (exchange, challenge) = begin(MECHANISM, FIRST, None).unwrap();
        assert_eq!(
            challenge,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proof = exchange.finish(last.as_bytes()).unwrap();
        assert_eq!(proof.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    #[test]
    fn a_replay_a_wrong_proof_and_another_certificate_fail() {
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let (fresh, _) =
            ServerExchange::begin(verifier(), MECHANISM, FIRST.as_bytes(), None, "fresh".into()).unwrap();
        assert_eq!(fresh.finish(last.as_bytes()), Err(ServerScramError::NonceDiffers));
        let (exchange, _) = begin(MECHANISM, FIRST, None).unwrap();
        assert_eq!(exchange.finish(last.replace("p=d", "p=e").as_bytes()), Ok(None));
        let bound = "p=tls-server-end-point,,n=,r=x";
        let (exchange, _) = begin(MECHANISM_PLUS, bound, Some(b"hash")).unwrap();
        let other = STANDARD.encode(b"p=tls-server-end-point,,other");
        let last = format!("c={other},r=x,p={}", STANDARD.encode([0; 32]));
        assert_eq!(exchange.finish(last.as_bytes()), Err(ServerScramError::BindingDiffers));
    }

    #[test]
    fn downgrades_and_impossible_wishes_are_refused() {
        use ServerScramError as E;
        let error = |mechanism, message, binding| begin(mechanism, message, binding).unwrap_err();
        let hash: Option<&[u8]> = Some(b"hash");
        assert_eq!(error(MECHANISM, "y,,n=,r=x", hash), E::Downgraded);
        assert!(begin(MECHANISM, "y,,n=,r=x", None).is_ok());
        assert!(begin(MECHANISM, "n,,n=,r=x", hash).is_ok());
        assert_eq!(error(MECHANISM_PLUS, FIRST, None), E::Mechanism);
        assert_eq!(error("SCRAM-SHA-1", FIRST, None), E::Mechanism);
        assert_eq!(error(MECHANISM, "p=tls-server-end-point,,n=,r=x", None), E::BindingImpossible);
        assert_eq!(error(MECHANISM_PLUS, "p=tls-unique,,n=,r=x", hash), E::BindingType("tls-unique".into()));
        assert!(matches!(error(MECHANISM_PLUS, "n,,n=,r=x", hash), E::Malformed { .. }));
        assert!(matches!(error(MECHANISM, "p=tls-server-end-point,,n=,r=x", hash), E::Malformed { .. }));
        assert_eq!(error(MECHANISM, "n,a=eve,n=,r=x", None), E::AuthorizationIdentity);
        assert_eq!(error(MECHANISM, "n,,m=1,n=,r=x", None), E::Extension);
        assert_eq!(error(MECHANISM, "n,,n=,r=a b", None), E::Nonce);
        assert!(matches!(error(MECHANISM, "", None), E::Malformed { .. }));
    }

    proptest! {
        #[test]
        fn any_messages_are_answered_or_refused(first: Vec<u8>, last: Vec<u8>, text in "[a-z=,+/]*") {
            let _ = ServerExchange::begin(verifier(), MECHANISM, &first, None, "n".into());
            let _ = begin(MECHANISM, &text, None);
            let _ = begin(MECHANISM, FIRST, None).unwrap().0.finish(&last);
            let _ = begin(MECHANISM, FIRST, None).unwrap().0.finish(text.as_bytes());
        }
    }
}
