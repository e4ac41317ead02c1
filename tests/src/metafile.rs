//! Torrents for sample content, and the few bytes of bencode that this takes.

use sha1::{Digest, Sha1};

use crate::content::Sample;

/// Length of the pieces of all torrents that tests make, in bytes: four blocks.
pub const PIECE_LEN: usize = 65_536;

/// A bencoded value to write.
#[derive(Clone, Debug)]
pub enum Value {
    /// `i…e`
    Int(i64),
    /// `length:bytes`
    Bytes(Vec<u8>),
    /// `l…e`
    List(Vec<Value>),
    /// `d…e`; keys are written in the order given, so that a test can get it wrong.
    Dict(Vec<(&'static str, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Bytes(text.as_bytes().to_vec())
    }
}

impl Value {
    /// A file's length or another count.
    #[must_use]
    pub fn count(count: usize) -> Value {
        Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The bytes of it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Int(int) => out.extend(format!("i{int}e").bytes()),
            Value::Bytes(bytes) => write_bytes(bytes, out),
            Value::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Value::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_bytes(key.as_bytes(), out);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{}:", bytes.len()).bytes());
    out.extend(bytes);
}

/// The info dictionary of a sample.
#[must_use]
pub fn info(sample: &Sample) -> Value {
    let pieces = sample.stream().chunks(PIECE_LEN).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
    let contents = match sample.layout {
        [("", len)] => ("length", Value::count(*len)),
        layout => ("files", Value::List(layout.iter().map(|(path, len)| file(path, *len)).collect())),
    };
    Value::Dict(vec![
        contents,
        ("name", sample.name.into()),
        ("piece length", Value::count(PIECE_LEN)),
        ("pieces", Value::Bytes(pieces)),
    ])
}

fn file(path: &str, len: usize) -> Value {
    let elements = path.split('/').map(Value::from).collect();
    Value::Dict(vec![("length", Value::count(len)), ("path", Value::List(elements))])
}

/// A torrent of `sample` with one tracker, or none.
#[must_use]
pub fn torrent(sample: &Sample, tracker: Option<&str>) -> Vec<u8> {
    let mut entries = Vec::new();
    if let Some(url) = tracker {
        entries.push(("announce", url.into()));
    }
    entries.push(("info", info(sample)));
    Value::Dict(entries).encode()
}

/// A torrent of `sample` that is private (BEP 27), without trackers.
#[must_use]
pub fn private_torrent(sample: &Sample) -> Vec<u8> {
    let Value::Dict(mut info) = info(sample) else { return Vec::new() };
    info.push(("private", Value::Int(1)));
    Value::Dict(vec![("info", Value::Dict(info))]).encode()
}

/// The info-hash of a torrent made by anybody; `None` if this is no torrent.
#[must_use]
pub fn info_hash(torrent: &[u8]) -> Option<[u8; 20]> {
    let mut at = 1;
    if torrent.first() != Some(&b'd') {
        return None;
    }
    while torrent.get(at)? != &b'e' {
        let key_end = skip(torrent, at)?;
        let value_end = skip(torrent, key_end)?;
        if torrent.get(at..key_end)? == b"4:info" {
            return Some(Sha1::digest(torrent.get(key_end..value_end)?).into());
        }
        at = value_end;
    }
    None
}

/// Where the value that begins at `at` ends.
fn skip(input: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    let mut depth = 0_usize;
    loop {
        at = match input.get(at)? {
            b'd' | b'l' => {
                depth += 1;
                at + 1
            }
            b'e' => {
                depth = depth.checked_sub(1)?;
                at + 1
            }
            b'i' => at + input.get(at..)?.iter().position(|byte| *byte == b'e')? + 1,
            _ => {
                let colon = at + input.get(at..)?.iter().position(|byte| *byte == b':')?;
                let len: usize = std::str::from_utf8(input.get(at..colon)?).ok()?.parse().ok()?;
                colon.checked_add(1)?.checked_add(len)?
            }
        };
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_info_hash_is_that_of_the_info_dictionary() {
        for sample in [Sample::SINGLE, Sample::MULTI] {
            let expected: [u8; 20] = Sha1::digest(info(&sample).encode()).into();
            assert_eq!(info_hash(&torrent(&sample, None)), Some(expected));
            assert_eq!(info_hash(&torrent(&sample, Some("http://127.0.0.1/announce"))), Some(expected));
        }
        assert_eq!(info_hash(b"d4:infod1:ai1e"), None);
        assert_eq!(info_hash(b"d4:infX1:ai1eee"), None);
        assert_eq!(info_hash(b"le"), None);
    }
}
