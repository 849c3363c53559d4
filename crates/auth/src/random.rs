use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not get random bytes from the operating system")]
pub struct RandomError;

/// Raw bytes of a nonce, as PostgreSQL's `SCRAM_RAW_NONCE_LEN`.
const NONCE_BYTES: usize = 18;

/// Fills an array with random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A fresh nonce: printable, without a comma.
///
/// # Errors
/// When the operating system has no random bytes.
pub fn nonce() -> Result<String, RandomError> {
    Ok(STANDARD.encode(random::<NONCE_BYTES>()?))
}
