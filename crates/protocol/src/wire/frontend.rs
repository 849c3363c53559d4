use std::str;

use super::frame::Frame;

/// A client's message was not what its type byte announced; the connection is of no use after it (08P01). Worded as
/// PostgreSQL words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMessage {
    /// The body ended before its fields did.
    #[error("insufficient data left in message of type \"{0}\"")]
    Truncated(char),
    /// The body went on after its last field.
    #[error("invalid message format: {1} bytes too many in message of type \"{0}\"")]
    Excess(char, usize),
    /// A string had no terminator.
    #[error("invalid string in message of type \"{0}\"")]
    Unterminated(char),
    /// A string was not UTF-8.
    #[error("invalid byte sequence for encoding \"UTF8\" in message of type \"{0}\"")]
    NotUtf8(char),
    /// A count or length was negative.
    #[error("invalid count {1} in message of type \"{0}\"")]
    Count(char, i64),
    /// Neither a statement nor a portal was named.
    #[error("invalid target subtype {1} in message of type \"{0}\"")]
    Target(char, u8),
    /// No such message.
    #[error("invalid frontend message type {0}")]
    Type(u8),
}

/// What Describe and Close are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A prepared statement of that name.
    Statement(&'a str),
    /// A portal of that name.
    Portal(&'a str),
}

/// Parse: text becomes a prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Empty for the unnamed statement.
    pub name: &'a str,
    /// One statement.
    pub query: &'a str,
    /// Parameter types that the client states; 0 leaves one to the server.
    pub types: Vec<u32>,
}

/// Bind: a prepared statement gets its parameters and becomes a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Empty for the unnamed portal.
    pub portal: &'a str,
    /// The prepared statement.
    pub statement: &'a str,
    /// None: all text; one: for all; else one each. 0 is text, 1 is binary.
    pub parameter_formats: Vec<i16>,
    /// `None` is NULL.
    pub parameters: Vec<Option<&'a [u8]>>,
    /// As for the parameters.
    pub result_formats: Vec<i16>,
}

/// What a client sends after start-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontendMessage<'a> {
    /// Simple query: any number of statements.
    Query(&'a str),
    /// See [`Parse`].
    Parse(Parse<'a>),
    /// See [`Bind`].
    Bind(Bind<'a>),
    /// Asks for parameter and result types.
    Describe(Target<'a>),
    /// Runs a portal; at most that many rows, 0 for all.
    Execute {
        /// Empty for the unnamed portal.
        portal: &'a str,
        /// 0 for all.
        rows_max: u32,
    },
    /// Forgets a statement or portal.
    Close(Target<'a>),
    /// Asks for what was answered so far.
    Flush,
    /// Ends an extended query; the point up to which an error skips.
    Sync,
    /// Data of a COPY FROM STDIN.
    CopyData(&'a [u8]),
    /// End of that data.
    CopyDone,
    /// The client gives the COPY up, with its reason.
    CopyFail(&'a str),
    /// Answer to an authentication request.
    Password(&'a [u8]),
    /// A call of a function by its number: not supported.
    FunctionCall,
    /// Goodbye.
    Terminate,
}

impl<'a> FrontendMessage<'a> {
    /// Decodes a message that was cut off a stream.
    pub fn of(frame: &'a Frame) -> Result<FrontendMessage<'a>, MalformedMessage> {
        FrontendMessage::decode(frame.tag, &frame.body)
    }

    /// Decodes a body of the given type byte. All of it has to be used up.
    pub fn decode(tag: u8, body: &'a [u8]) -> Result<FrontendMessage<'a>, MalformedMessage> {
        let mut fields = Fields { tag: char::from(tag), rest: body };
        let message = match tag {
            b'Q' => FrontendMessage::Query(fields.text()?),
            b'P' => FrontendMessage::Parse(fields.parse()?),
            b'B' => FrontendMessage::Bind(fields.bind()?),
            b'D' => FrontendMessage::Describe(fields.target()?),
            b'E' => FrontendMessage::Execute {
                portal: fields.text()?,
                rows_max: u32::try_from(fields.int32()?).unwrap_or(0),
            },
            b'C' => FrontendMessage::Close(fields.target()?),
            b'H' => FrontendMessage::Flush,
            b'S' => FrontendMessage::Sync,
            b'd' => FrontendMessage::CopyData(fields.all()),
            b'c' => FrontendMessage::CopyDone,
            b'f' => FrontendMessage::CopyFail(fields.text()?),
            b'p' => FrontendMessage::Password(fields.all()),
            b'F' => {
                fields.all();
                FrontendMessage::FunctionCall
            }
            b'X' => FrontendMessage::Terminate,
            other => return Err(MalformedMessage::Type(other)),
        };
        if fields.rest.is_empty() {
            Ok(message)
        } else {
            Err(MalformedMessage::Excess(fields.tag, fields.rest.len()))
        }
    }
}

struct Fields<'a> {
    tag: char,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], MalformedMessage> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(MalformedMessage::Truncated(self.tag))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedMessage> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(MalformedMessage::Truncated(self.tag))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn int16(&mut self) -> Result<i16, MalformedMessage> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    fn int32(&mut self) -> Result<i32, MalformedMessage> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a str, MalformedMessage> {
        let end = self.rest.iter().position(|&b| b == 0).ok_or(MalformedMessage::Unterminated(self.tag))?;
        let bytes = self.take(end)?;
        self.take(1)?;
        str::from_utf8(bytes).map_err(|_| MalformedMessage::NotUtf8(self.tag))
    }

    // counts are 16 bits without sign, as libpq sends up to 65535 parameters
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, MalformedMessage>,
    ) -> Result<Vec<T>, MalformedMessage> {
        let count = u16::from_be_bytes(self.array()?);
        // every item takes at least two bytes, so the body bounds what is reserved
        let mut items = Vec::with_capacity(usize::from(count).min(self.rest.len() / 2));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn value(&mut self) -> Result<Option<&'a [u8]>, MalformedMessage> {
        match self.int32()? {
            -1 => Ok(None),
            length => {
                let bytes =
                    usize::try_from(length).map_err(|_| MalformedMessage::Count(self.tag, length.into()))?;
                self.take(bytes).map(Some)
            }
        }
    }

    fn target(&mut self) -> Result<Target<'a>, MalformedMessage> {
        match self.array::<1>()? {
            [b'S'] => Ok(Target::Statement(self.text()?)),
            [b'P'] => Ok(Target::Portal(self.text()?)),
            [other] => Err(MalformedMessage::Target(self.tag, other)),
        }
    }

    fn parse(&mut self) -> Result<Parse<'a>, MalformedMessage> {
        Ok(Parse {
            name: self.text()?,
            query: self.text()?,
            types: self.list(|fields| Ok(u32::from_be_bytes(fields.array()?)))?,
        })
    }

    fn bind(&mut self) -> Result<Bind<'a>, MalformedMessage> {
        Ok(Bind {
            portal: self.text()?,
            statement: self.text()?,
            parameter_formats: self.list(Self::int16)?,
            parameters: self.list(Self::value)?,
            result_formats: self.list(Self::int16)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_what_pgbench_binds() {
        let body = b"\0\0\0\0\0\x02\0\0\0\x05-4001\0\0\0\x0563303\0\x01\0\0";
        let Ok(FrontendMessage::Bind(bind)) = FrontendMessage::decode(b'B', body) else { panic!() };
        assert_eq!(bind.parameters, [Some(b"-4001".as_slice()), Some(b"63303".as_slice())]);
        assert_eq!(bind.result_formats, [0]);
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        assert_eq!(FrontendMessage::decode(b'E', b"p\0\0\0"), Err(MalformedMessage::Truncated('E')));
        assert_eq!(FrontendMessage::decode(b'Q', b"abc"), Err(MalformedMessage::Unterminated('Q')));
        assert_eq!(FrontendMessage::decode(b'S', b"xy"), Err(MalformedMessage::Excess('S', 2)));
        assert_eq!(FrontendMessage::decode(b'Q', b"\xff\0"), Err(MalformedMessage::NotUtf8('Q')));
        assert_eq!(FrontendMessage::decode(b'B', b"\0\0\0\0\xff\xff"), Err(MalformedMessage::Truncated('B')));
        assert_eq!(FrontendMessage::decode(b'!', b""), Err(MalformedMessage::Type(b'!')));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(tag: u8, body: Vec<u8>) {
            let _ = FrontendMessage::decode(tag, &body);
        }
    }
}
