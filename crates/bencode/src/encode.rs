//! The encoder: it cannot write a malformed document, nor keys that are unsorted or repeated.

use crate::Value;
use alloc::vec::Vec;
use core::ops::Range;

/// Encodes a dictionary, whose entries `fill` adds in any order.
pub fn encode_dict(fill: impl FnOnce(&mut DictEncoder<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode_dict_into(&mut out, fill);
    out
}

/// Appends an encoded dictionary to `out`.
pub fn encode_dict_into(out: &mut Vec<u8>, fill: impl FnOnce(&mut DictEncoder<'_>)) {
    out.push(b'd');
    let mut dict = DictEncoder { entries: Vec::new(), start: out.len(), out };
    fill(&mut dict);
    dict.sort();
    out.push(b'e');
}

/// Encodes a list, whose items `fill` adds in order.
pub fn encode_list(fill: impl FnOnce(&mut ListEncoder<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_list(&mut out, fill);
    out
}

/// Takes the entries of a dictionary; a key that is given twice has the value that was given last.
#[derive(Debug)]
pub struct DictEncoder<'o> {
    out: &'o mut Vec<u8>,
    /// Where the first entry starts in `out`.
    start: usize,
    entries: Vec<Entry>,
}

/// Where an entry lies in the output.
#[derive(Debug)]
struct Entry {
    key: Range<usize>,
    end: usize,
}

impl DictEncoder<'_> {
    /// Adds an integer.
    pub fn int(&mut self, key: impl AsRef<[u8]>, value: impl Into<i64>) {
        self.entry(key, |out| put_int(out, value.into()));
    }

    /// Adds a byte string, or text as UTF-8.
    pub fn bytes(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.entry(key, |out| put_bytes(out, value.as_ref()));
    }

    /// Adds a list, whose items `fill` adds in order.
    pub fn list(&mut self, key: impl AsRef<[u8]>, fill: impl FnOnce(&mut ListEncoder<'_>)) {
        self.entry(key, |out| put_list(out, fill));
    }

    /// Adds a dictionary, whose entries `fill` adds in any order.
    pub fn dict(&mut self, key: impl AsRef<[u8]>, fill: impl FnOnce(&mut DictEncoder<'_>)) {
        self.entry(key, |out| encode_dict_into(out, fill));
    }

    /// Adds a decoded value exactly as it stood in its source, so that a hash of it still holds.
    pub fn value(&mut self, key: impl AsRef<[u8]>, value: Value<'_>) {
        self.entry(key, |out| out.extend_from_slice(value.raw()));
    }

    fn entry(&mut self, key: impl AsRef<[u8]>, put_value: impl FnOnce(&mut Vec<u8>)) {
        let key = key.as_ref();
        put_bytes(self.out, key);
        let key_end = self.out.len();
        put_value(self.out);
        self.entries.push(Entry { key: key_end - key.len()..key_end, end: self.out.len() });
    }

    fn sort(self) {
        let DictEncoder { out, start, entries } = self;
        if entries.windows(2).all(|pair| out[pair[0].key.clone()] < out[pair[1].key.clone()]) {
            return;
        }
        let mut from = start;
        let mut encoded = Vec::with_capacity(entries.len());
        for entry in &entries {
            encoded.push((&out[entry.key.clone()], &out[from..entry.end]));
            from = entry.end;
        }
        // The sort is stable, so of equal keys the one that was given last stands last.
        encoded.sort_by_key(|&(key, _)| key);
        let mut sorted = Vec::with_capacity(out.len() - start);
        for (at, (key, bytes)) in encoded.iter().enumerate() {
            if encoded.get(at + 1).is_none_or(|(next, _)| next != key) {
                sorted.extend_from_slice(bytes);
            }
        }
        out.truncate(start);
        out.append(&mut sorted);
    }
}

/// Takes the items of a list.
#[derive(Debug)]
pub struct ListEncoder<'o> {
    out: &'o mut Vec<u8>,
}

impl ListEncoder<'_> {
    /// Adds an integer.
    pub fn int(&mut self, value: impl Into<i64>) {
        put_int(self.out, value.into());
    }

    /// Adds a byte string, or text as UTF-8.
    pub fn bytes(&mut self, value: impl AsRef<[u8]>) {
        put_bytes(self.out, value.as_ref());
    }

    /// Adds a list, whose items `fill` adds in order.
    pub fn list(&mut self, fill: impl FnOnce(&mut ListEncoder<'_>)) {
        put_list(self.out, fill);
    }

    /// Adds a dictionary, whose entries `fill` adds in any order.
    pub fn dict(&mut self, fill: impl FnOnce(&mut DictEncoder<'_>)) {
        encode_dict_into(self.out, fill);
    }

    /// Adds a decoded value exactly as it stood in its source.
    pub fn value(&mut self, value: Value<'_>) {
        self.out.extend_from_slice(value.raw());
    }
}

fn put_list(out: &mut Vec<u8>, fill: impl FnOnce(&mut ListEncoder<'_>)) {
    out.push(b'l');
    fill(&mut ListEncoder { out });
    out.push(b'e');
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    out.push(b'i');
    if value < 0 {
        out.push(b'-');
    }
    put_digits(out, value.unsigned_abs());
    out.push(b'e');
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_digits(out, bytes.len() as u64);
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn put_digits(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(alloc::format!("{number}").as_bytes());
}
