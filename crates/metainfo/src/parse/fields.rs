//! Values of a dictionary, with errors that say where it stands.

use crate::Error;
use alloc::format;
use alloc::string::String;
use bencode::{Kind, Value};
use core::fmt;
use core::ops::Range;

/// A dictionary and where it stands in the torrent file.
pub(super) struct Fields<'d, 'p> {
    dict: Value<'d>,
    place: Place<'p>,
}

/// Where a dictionary stands, to be shown in an error.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// The file itself.
    Top,
    /// `info`.
    Info,
    /// An item of `info.files`.
    File(usize),
    /// An entry of `info.file tree`.
    Tree(&'p str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top => Ok(()),
            Place::Info => f.write_str("info."),
            Place::File(index) => write!(f, "info.files[{index}]."),
            Place::Tree(path) => write!(f, "info.file tree/{path}/"),
        }
    }
}

impl<'d, 'p> Fields<'d, 'p> {
    pub(super) fn new(value: Value<'d>, place: Place<'p>) -> Result<Fields<'d, 'p>, Error> {
        match value.kind() {
            Kind::Dict => Ok(Fields { dict: value, place }),
            found => {
                let key = String::from(format!("{place}").trim_end_matches(['.', '/']));
                Err(Error::WrongType { key, expected: Kind::Dict, found })
            }
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<Value<'d>> {
        self.dict.get(key)
    }

    pub(super) fn required(&self, key: &str) -> Result<Value<'d>, Error> {
        self.find(key).ok_or_else(|| self.missing(key))
    }

    /// A byte string, if it is there.
    pub(super) fn bytes(&self, key: &str) -> Result<Option<&'d [u8]>, Error> {
        let Some(value) = self.find(key) else { return Ok(None) };
        value.as_bytes().map(Some).ok_or_else(|| self.wrong_type(key, Kind::Bytes, value))
    }

    /// A name: `key` with `.utf-8` behind it if there is such a string, since it is likelier to be right; else `key`.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'d [u8]>, Error> {
        match self.find(&format!("{key}.utf-8")).and_then(Value::as_bytes) {
            Some(text) => Ok(Some(text)),
            None => self.bytes(key),
        }
    }

    /// A list, if it is there.
    pub(super) fn list(&self, key: &str) -> Result<Option<bencode::List<'d>>, Error> {
        let Some(value) = self.find(key) else { return Ok(None) };
        value.as_list().map(Some).ok_or_else(|| self.wrong_type(key, Kind::List, value))
    }

    /// A size in bytes, which has to be there.
    pub(super) fn size(&self, key: &str) -> Result<u64, Error> {
        let value = self.required(key)?;
        let size = value.as_int().ok_or_else(|| self.wrong_type(key, Kind::Int, value))?;
        u64::try_from(size).map_err(|_| Error::Negative { key: self.path(key), value: size })
    }

    /// Where the bytes of a byte string lie, counted from the start of this dictionary; the string has to be there.
    pub(super) fn content(&self, key: &str) -> Result<Range<usize>, Error> {
        let value = self.required(key)?;
        let bytes = value.as_bytes().ok_or_else(|| self.wrong_type(key, Kind::Bytes, value))?;
        let end = value.range().end - self.dict.range().start;
        Ok(end - bytes.len()..end)
    }

    pub(super) fn missing(&self, key: &str) -> Error {
        Error::Missing { key: self.path(key) }
    }

    pub(super) fn wrong_type(&self, key: &str, expected: Kind, value: Value<'_>) -> Error {
        Error::WrongType { key: self.path(key), expected, found: value.kind() }
    }

    /// The way to an entry from the top of the file.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.place)
    }
}
