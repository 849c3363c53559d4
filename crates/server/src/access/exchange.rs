use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use walship_auth::scram::{ServerExchange, ServerScramError, mechanisms};
use walship_auth::{Verifier, nonce};
use walship_protocol::wire::{put_sasl, put_sasl_continue, put_sasl_final};
use walship_sql::{SqlError, SqlState};

use crate::listen::Socket;

/// Longest answer to an authentication request, in bytes. Ours are a few hundred.
const ANSWER_BYTES_MAX: usize = 10_000;

/// How an exchange ended.
pub(super) enum Outcome {
    /// The password is right.
    Proven,
    /// It is wrong.
    Wrong,
    /// The client went away, as those do that have to ask for the password first.
    Gone,
    /// The client did not keep to the protocol.
    Broken(SqlError),
}

impl From<io::Error> for Outcome {
    fn from(_: io::Error) -> Outcome {
        Outcome::Gone
    }
}

/// Asks for a password by SCRAM. `binding` is the hash of our certificate on a TLS connection.
pub(super) async fn scram(socket: &mut Socket, verifier: Verifier, binding: Option<&[u8]>) -> Outcome {
    match run(socket, verifier, binding).await {
        Ok(true) => Outcome::Proven,
        Ok(false) => Outcome::Wrong,
        Err(outcome) => outcome,
    }
}

async fn run(socket: &mut Socket, verifier: Verifier, binding: Option<&[u8]>) -> Result<bool, Outcome> {
    let mut out = BytesMut::new();
    put_sasl(&mut out, mechanisms(binding.is_some()));
    socket.write_all(&out).await?;
    socket.flush().await?;
    let answer = answer(socket).await?;
    let (mechanism, first) = initial(&answer).ok_or_else(|| broken("invalid SASLInitialResponse message"))?;
    let fresh =
        nonce().map_err(|error| Outcome::Broken(SqlError::fatal("58000".into(), error.to_string())))?;
    let begun = ServerExchange::begin(verifier, mechanism, first, binding, fresh);
    let (exchange, challenge) = begun.map_err(|error| Outcome::Broken(refused(&error)))?;
    out.clear();
    put_sasl_continue(&mut out, challenge.as_bytes());
    socket.write_all(&out).await?;
    socket.flush().await?;
    let last = self::answer(socket).await?;
    match exchange.finish(&last).map_err(|error| Outcome::Broken(refused(&error)))? {
        None => Ok(false),
        Some(proof) => {
            out.clear();
            // AuthenticationOk follows with the session's greeting
            put_sasl_final(&mut out, proof.as_bytes());
            socket.write_all(&out).await?;
            socket.flush().await?;
            Ok(true)
        }
    }
}

fn refused(error: &ServerScramError) -> SqlError {
    let told = SqlError::fatal(SqlState::new(error.sqlstate()), error.to_string());
    match error.detail() {
        Some(detail) => told.with_detail(detail),
        None => told,
    }
}

fn broken(message: impl Into<String>) -> Outcome {
    Outcome::Broken(SqlError::fatal(SqlState::PROTOCOL_VIOLATION, message))
}

/// The body of the client's next message; nothing behind it is read.
async fn answer(socket: &mut Socket) -> Result<Vec<u8>, Outcome> {
    const PASSWORD: u8 = b'p';
    const TERMINATE: u8 = b'X';
    let tag = socket.read_u8().await?;
    if tag == TERMINATE {
        return Err(Outcome::Gone);
    }
    let length = socket.read_u32().await?;
    if tag != PASSWORD {
        return Err(broken(format!("expected SASL response, got message type {tag}")));
    }
    let bytes = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let bytes = bytes.filter(|bytes| *bytes <= ANSWER_BYTES_MAX).ok_or_else(|| {
        broken(format!(
            "invalid length {length} of SASL response: at most {ANSWER_BYTES_MAX} bytes are allowed"
        ))
    })?;
    let mut body = vec![0; bytes];
    socket.read_exact(&mut body).await?;
    Ok(body)
}

/// Mechanism and first message of a SASLInitialResponse.
fn initial(body: &[u8]) -> Option<(&str, &[u8])> {
    let end = body.iter().position(|&byte| byte == 0)?;
    let mechanism = std::str::from_utf8(body.get(..end)?).ok()?;
    let (length, message) = body.get(end + 1..)?.split_first_chunk::<4>()?;
    (usize::try_from(i32::from_be_bytes(*length)).ok()? == message.len()).then_some((mechanism, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_answers_are_taken_apart() {
        assert_eq!(initial(b"SCRAM\0\0\0\0\x02ab"), Some(("SCRAM", b"ab".as_slice())));
        for bad in [b"".as_slice(), b"SCRAM", b"S\0\xff\xff\xff\xff", b"S\0\0\0\0\x03ab", b"\xff\0\0\0\0\0"] {
            assert_eq!(initial(bad), None);
        }
    }
}
