//! Bencode as others send it, read with as much trust as strangers get.

use std::collections::BTreeMap;

/// How deep lists and dictionaries may lie in each other.
const MAX_DEPTH: usize = 32;

/// A bencoded value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// `i…e`
    Int(i64),
    /// `length:bytes`
    Bytes(&'a [u8]),
    /// `l…e`
    List(Vec<Read<'a>>),
    /// `d…e`; of a key that comes twice, the last value.
    Dict(BTreeMap<&'a [u8], Read<'a>>),
}

impl<'a> Read<'a> {
    /// Reads the value at the beginning of `input`, and tells what follows; `None` if there is none.
    #[must_use]
    pub fn prefix(input: &'a [u8]) -> Option<(Read<'a>, &'a [u8])> {
        read(input, 0)
    }

    /// A member of a dictionary.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Read<'a>> {
        match self {
            Read::Dict(entries) => entries.get(key.as_bytes()),
            _ => None,
        }
    }

    /// The bytes, if these are some.
    #[must_use]
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Read::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number, if this is one.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Read::Int(int) => Some(*int),
            _ => None,
        }
    }
}

fn read(input: &[u8], depth: usize) -> Option<(Read<'_>, &[u8])> {
    if depth > MAX_DEPTH {
        return None;
    }
    let (first, rest) = input.split_first()?;
    match first {
        b'i' => {
            let (digits, rest) = until(rest, b'e')?;
            Some((Read::Int(digits.parse().ok()?), rest))
        }
        b'l' => {
            let (mut items, mut rest) = (Vec::new(), rest);
            while rest.first()? != &b'e' {
                let (item, after) = read(rest, depth + 1)?;
                items.push(item);
                rest = after;
            }
            Some((Read::List(items), rest.get(1..)?))
        }
        b'd' => {
            let (mut entries, mut rest) = (BTreeMap::new(), rest);
            while rest.first()? != &b'e' {
                let (Read::Bytes(key), after) = read(rest, depth + 1)? else { return None };
                let (value, after) = read(after, depth + 1)?;
                entries.insert(key, value);
                rest = after;
            }
            Some((Read::Dict(entries), rest.get(1..)?))
        }
        _ => {
            let (len, rest) = until(input, b':')?;
            let (bytes, rest) = rest.split_at_checked(len.parse().ok()?)?;
            Some((Read::Bytes(bytes), rest))
        }
    }
}

/// The text before `end`, and what comes after it.
fn until(input: &[u8], end: u8) -> Option<(&str, &[u8])> {
    let at = input.iter().position(|byte| *byte == end)?;
    Some((std::str::from_utf8(&input[..at]).ok()?, &input[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_what_is_none_is_not() {
        let (value, rest) = Read::prefix(b"d1:ai-5e1:bl2:xyi0eee!").unwrap();
        assert_eq!(value.get("a").and_then(Read::int), Some(-5));
        assert_eq!(value.get("b"), Some(&Read::List(vec![Read::Bytes(b"xy"), Read::Int(0)])));
        assert_eq!((value.get("c"), rest), (None, &b"!"[..]));
        for bad in ["", "i5", "ie", "5:abc", "l", "d1:a", "di1ei2ee", "x", "99999999999999999999:"] {
            assert_eq!(Read::prefix(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Read::prefix("l".repeat(100_000).as_bytes()), None);
    }
}
