//! The decoder: one pass over the bytes, a stack of its own instead of recursion.

use crate::value::{Document, Token};
use alloc::vec::Vec;

/// How much a decoder takes in before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest input in bytes. A longer one is refused unread ([`ErrorKind::InputTooLong`]).
    pub max_input: usize,
    /// How many lists and dictionaries may be open at once. One more is an error ([`ErrorKind::TooDeep`]).
    pub max_depth: usize,
    /// The most values, keys included, at 16 bytes of memory each. One more is an error ([`ErrorKind::TooManyValues`]).
    pub max_values: usize,
}

impl Limits {
    /// 64 MiB, 100 levels, three million values: more than any torrent needs that clients agree to load.
    pub const DEFAULT: Limits = Limits { max_input: 64 * 1024 * 1024, max_depth: 100, max_values: 3_000_000 };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// What is wrong with a document, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, in bytes from the start of the input.
    pub at: usize,
}

/// What can be wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ends within a value.
    #[error("unexpected end of data")]
    UnexpectedEnd,
    /// None of `i`, `l`, `d` and the digits, where a value has to start.
    #[error("expected a value")]
    ExpectedValue,
    /// A dictionary ends after a key.
    #[error("key without a value")]
    KeyWithoutValue,
    /// A dictionary's key is not a byte string.
    #[error("expected a string as key")]
    ExpectedKey,
    /// Something else in a number.
    #[error("expected a digit")]
    ExpectedDigit,
    /// An integer beyond 64 signed bits, or a length beyond what can be addressed.
    #[error("number too large")]
    NumberTooLarge,
    /// Bytes after the end of the document.
    #[error("unexpected data after the end")]
    TrailingBytes,
    /// More bytes than [`Limits::max_input`].
    #[error("too much data")]
    InputTooLong,
    /// More levels than [`Limits::max_depth`].
    #[error("lists or dictionaries nested too deeply")]
    TooDeep,
    /// More values than [`Limits::max_values`].
    #[error("too many values")]
    TooManyValues,
    /// Irregular: a key that is smaller than the one before it.
    #[error("unsorted key")]
    UnsortedKey,
    /// Irregular: a key that equals the one before it.
    #[error("repeated key")]
    RepeatedKey,
    /// Irregular: a leading zero in an integer or in a length.
    #[error("leading zero")]
    LeadingZero,
    /// Irregular: `-0`.
    #[error("negative zero")]
    NegativeZero,
}

/// Decodes a document that is all of `source`, within [`Limits::DEFAULT`].
///
/// # Errors
/// The first thing that breaks the grammar or a limit, or bytes after the end.
pub fn decode(source: &[u8]) -> Result<Document<'_>, Error> {
    decode_with(source, Limits::DEFAULT)
}

/// Decodes a document that is all of `source`, within limits of the caller's choice.
///
/// # Errors
/// The first thing that breaks the grammar or a limit, or bytes after the end.
pub fn decode_with(source: &[u8], limits: Limits) -> Result<Document<'_>, Error> {
    match decode_prefix(source, limits)? {
        (document, []) => Ok(document),
        (document, _) => Err(Error { kind: ErrorKind::TrailingBytes, at: document.source.len() }),
    }
}

/// Decodes the document that `source` starts with, and returns the bytes after it too (BEP 9 sends such messages).
///
/// # Errors
/// The first thing that breaks the grammar or a limit.
pub fn decode_prefix(source: &[u8], limits: Limits) -> Result<(Document<'_>, &[u8]), Error> {
    if source.len() > limits.max_input || u32::try_from(source.len()).is_err() {
        return Err(Error { kind: ErrorKind::InputTooLong, at: limits.max_input });
    }
    let mut decoder =
        Decoder { source, at: 0, limits, tokens: Vec::new(), open: Vec::new(), irregularity: None };
    decoder.run()?;
    let Decoder { at, tokens, irregularity, .. } = decoder;
    let (source, rest) = source.split_at(at);
    Ok((Document { source, tokens, irregularity }, rest))
}

struct Decoder<'a> {
    source: &'a [u8],
    at: usize,
    limits: Limits,
    tokens: Vec<Token>,
    open: Vec<Open>,
    irregularity: Option<Error>,
}

/// A list or dictionary whose end has not been seen.
struct Open {
    token: usize,
    expects: Expects,
    last_key: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// The document itself, or a list's next item.
    Value,
    /// A dictionary's next key.
    Key,
    /// The value of the key that was just read.
    ValueOfKey,
}

impl Decoder<'_> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            let expects = self.open.last().map_or(Expects::Value, |open| open.expects);
            match (self.peek()?, expects) {
                (b'e', Expects::Value | Expects::Key) if !self.open.is_empty() => self.close(),
                (b'e', Expects::ValueOfKey) => return Err(self.error(ErrorKind::KeyWithoutValue)),
                (b'0'..=b'9', Expects::Key) => self.key()?,
                (_, Expects::Key) => return Err(self.error(ErrorKind::ExpectedKey)),
                (b'0'..=b'9', _) => self.bytes()?,
                (b'i', _) => self.int()?,
                (b'l', _) => self.open(Expects::Value)?,
                (b'd', _) => self.open(Expects::Key)?,
                _ => return Err(self.error(ErrorKind::ExpectedValue)),
            }
            if self.open.is_empty() {
                return Ok(());
            }
        }
    }

    fn open(&mut self, expects: Expects) -> Result<(), Error> {
        if self.open.len() >= self.limits.max_depth {
            return Err(self.error(ErrorKind::TooDeep));
        }
        let start = self.at;
        self.at += 1;
        let token = self.tokens.len();
        self.push(start, self.at)?;
        self.open.push(Open { token, expects, last_key: None });
        Ok(())
    }

    fn close(&mut self) {
        self.at += 1;
        if let Some(open) = self.open.pop() {
            let next = small(self.tokens.len());
            let token = &mut self.tokens[open.token];
            token.end = small(self.at);
            token.next = next;
            self.value_ended();
        }
    }

    fn key(&mut self) -> Result<(), Error> {
        let at = self.at;
        let token = self.tokens.len();
        self.byte_string()?;
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        open.expects = Expects::ValueOfKey;
        if let Some(last) = open.last_key.replace(token) {
            match self.body(last).cmp(self.body(token)) {
                core::cmp::Ordering::Less => {}
                core::cmp::Ordering::Equal => self.irregular(ErrorKind::RepeatedKey, at),
                core::cmp::Ordering::Greater => self.irregular(ErrorKind::UnsortedKey, at),
            }
        }
        Ok(())
    }

    fn bytes(&mut self) -> Result<(), Error> {
        self.byte_string()?;
        self.value_ended();
        Ok(())
    }

    /// `4:spam`
    fn byte_string(&mut self) -> Result<(), Error> {
        let start = self.at;
        let len = self.number(b':')?;
        let len = usize::try_from(len).map_err(|_| Error { kind: ErrorKind::NumberTooLarge, at: start })?;
        let body = self.at;
        if len > self.source.len() - body {
            return Err(Error { kind: ErrorKind::UnexpectedEnd, at: self.source.len() });
        }
        self.at += len;
        self.push(start, body)
    }

    /// `i-42e`
    fn int(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let magnitude = self.number(b'e')?;
        // The smallest 64-bit integer's magnitude is one more than the largest's.
        if magnitude > i64::MAX.unsigned_abs() + u64::from(negative) {
            return Err(Error { kind: ErrorKind::NumberTooLarge, at: start + 1 });
        }
        if negative && magnitude == 0 {
            self.irregular(ErrorKind::NegativeZero, start);
        }
        self.push(start, start + 1)?;
        self.value_ended();
        Ok(())
    }

    /// One digit or more, then `end`, which is taken too.
    fn number(&mut self, end: u8) -> Result<u64, Error> {
        let start = self.at;
        let mut number = 0u64;
        loop {
            let byte = self.peek()?;
            if byte == end && self.at > start {
                break;
            }
            if !byte.is_ascii_digit() {
                return Err(self.error(ErrorKind::ExpectedDigit));
            }
            number = number
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(byte - b'0')))
                .ok_or(Error { kind: ErrorKind::NumberTooLarge, at: start })?;
            self.at += 1;
        }
        if self.source[start] == b'0' && self.at - start > 1 {
            self.irregular(ErrorKind::LeadingZero, start);
        }
        self.at += 1;
        Ok(number)
    }

    /// Adds a token that ends where the decoder stands; that of a list or dictionary is corrected when it is closed.
    fn push(&mut self, start: usize, body: usize) -> Result<(), Error> {
        if self.tokens.len() >= self.limits.max_values {
            return Err(Error { kind: ErrorKind::TooManyValues, at: start });
        }
        let next = small(self.tokens.len() + 1);
        self.tokens.push(Token { start: small(start), body: small(body), end: small(self.at), next });
        Ok(())
    }

    fn value_ended(&mut self) {
        if let Some(Open { expects: expects @ Expects::ValueOfKey, .. }) = self.open.last_mut() {
            *expects = Expects::Key;
        }
    }

    fn body(&self, token: usize) -> &[u8] {
        let Token { body, end, .. } = self.tokens[token];
        &self.source[body as usize..end as usize]
    }

    fn peek(&self) -> Result<u8, Error> {
        self.source.get(self.at).copied().ok_or_else(|| self.error(ErrorKind::UnexpectedEnd))
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error { kind, at: self.at }
    }

    fn irregular(&mut self, kind: ErrorKind, at: usize) {
        self.irregularity.get_or_insert(Error { kind, at });
    }
}

/// A place in the source or on the tape, which never has more tokens than the source has bytes.
fn small(at: usize) -> u32 {
    u32::try_from(at).expect("the source was checked to be shorter than 4 GiB")
}
