//! A decoded document: a flat tape of tokens over the bytes that it was decoded from.

use crate::Error;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// A decoded document, which borrows the bytes that it was decoded from.
#[derive(Clone)]
pub struct Document<'a> {
    pub(crate) source: &'a [u8],
    /// Every value in the order of the source, a dictionary's keys among them; never empty.
    pub(crate) tokens: Vec<Token>,
    pub(crate) irregularity: Option<Error>,
}

/// One value (or key) on the tape. Its kind is told by the source's byte at `start`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// Where the value starts in the source.
    pub(crate) start: u32,
    /// Where its content starts: past the length and colon of a byte string, else past the first byte.
    pub(crate) body: u32,
    /// Where the value ends in the source, its closing `e` included.
    pub(crate) end: u32,
    /// The tape's index of the first token that is not part of this value.
    pub(crate) next: u32,
}

impl<'a> Document<'a> {
    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value { document: self, token: 0 }
    }

    /// The bytes that the outermost value was decoded from.
    pub fn source(&self) -> &'a [u8] {
        self.source
    }

    /// The first place where the document is readable, but not the one canonical encoding of its value (BEP 3):
    /// a key out of order or repeated right away, a leading zero, a negative zero.
    pub fn irregularity(&self) -> Option<Error> {
        self.irregularity
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer of 64 bits.
    Int,
    /// A byte string.
    Bytes,
    /// A list.
    List,
    /// A dictionary.
    Dict,
}

/// As it is called in messages for people.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Int => "an integer",
            Kind::Bytes => "a string",
            Kind::List => "a list",
            Kind::Dict => "a dictionary",
        })
    }
}

/// One value of a document; as cheap to copy as a reference.
#[derive(Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    token: u32,
}

impl<'d> Value<'d> {
    /// What the value is.
    pub fn kind(self) -> Kind {
        match self.document.source[self.tape().start as usize] {
            b'i' => Kind::Int,
            b'l' => Kind::List,
            b'd' => Kind::Dict,
            _ => Kind::Bytes,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(self) -> Option<i64> {
        let digits = self.body_of(Kind::Int)?;
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The integer, if it is one and is not negative.
    pub fn as_uint(self) -> Option<u64> {
        self.as_int()?.try_into().ok()
    }

    /// The byte string, if it is one.
    pub fn as_bytes(self) -> Option<&'d [u8]> {
        self.body_of(Kind::Bytes)
    }

    /// The byte string as text, if it is one and is UTF-8.
    pub fn as_str(self) -> Option<&'d str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The items in order, if it is a list.
    pub fn as_list(self) -> Option<List<'d>> {
        (self.kind() == Kind::List).then(|| List(self.children()))
    }

    /// The keys and values in order, if it is a dictionary.
    pub fn as_dict(self) -> Option<Dict<'d>> {
        (self.kind() == Kind::Dict).then(|| Dict(self.children()))
    }

    /// The value of a dictionary's first entry under `key`; `None` without such an entry or if this is no dictionary.
    ///
    /// Looks at every key before it: time grows with the number of entries.
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Value<'d>> {
        self.as_dict()?.find(|(k, _)| *k == key.as_ref()).map(|(_, value)| value)
    }

    /// The exact bytes of the source that this value was decoded from, which are what hashes are made of.
    pub fn raw(self) -> &'d [u8] {
        &self.document.source[self.range()]
    }

    /// Where [`Value::raw`] lies, in bytes from the start of the source.
    pub fn range(self) -> Range<usize> {
        let token = self.tape();
        token.start as usize..token.end as usize
    }

    fn tape(self) -> Token {
        self.document.tokens[self.token as usize]
    }

    fn body_of(self, kind: Kind) -> Option<&'d [u8]> {
        let token = self.tape();
        let closing = u32::from(kind == Kind::Int);
        (self.kind() == kind)
            .then(|| &self.document.source[token.body as usize..(token.end - closing) as usize])
    }

    fn children(self) -> Tokens<'d> {
        Tokens { document: self.document, token: self.token + 1, end: self.tape().next }
    }
}

/// As the text of a Rust value; byte strings are escaped.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not by recursion: the depth of a document is the caller's choice.
        write!(f, "b\"{}\"", self.raw().escape_ascii())
    }
}

/// Equal when the source's bytes are.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw() == other.raw()
    }
}

impl Eq for Value<'_> {}

/// The items of a list.
#[derive(Clone, Debug)]
pub struct List<'d>(Tokens<'d>);

impl<'d> Iterator for List<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        self.0.next()
    }
}

/// The entries of a dictionary, in the order of the source.
#[derive(Clone, Debug)]
pub struct Dict<'d>(Tokens<'d>);

impl<'d> Iterator for Dict<'d> {
    type Item = (&'d [u8], Value<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?.as_bytes()?;
        Some((key, self.0.next()?))
    }
}

/// The values that lie side by side between two places on the tape.
#[derive(Clone, Debug)]
struct Tokens<'d> {
    document: &'d Document<'d>,
    token: u32,
    end: u32,
}

impl<'d> Iterator for Tokens<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        if self.token >= self.end {
            return None;
        }
        let value = Value { document: self.document, token: self.token };
        self.token = value.tape().next;
        Some(value)
    }
}
