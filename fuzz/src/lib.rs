//! What the targets share: how an input is cut into parts, a Merkle tree to compare with, and the fault of the control.

use std::sync::LazyLock;

/// Set in a control run, in which every target has a fault that it must find.
const PLANT: &str = "RAWTORRENT_FUZZ_PLANT";

/// Panics in a control run once an input came so far that `is_deep` holds: a target that never gets there would not
/// find a fault of the product there either.
pub fn plant(is_deep: impl FnOnce() -> bool) {
    static PLANTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os(PLANT).is_some());
    assert!(!(*PLANTED && is_deep()), "the planted fault");
}

/// The root of a Merkle tree (BEP 52): from the top, where the product goes from the bottom.
pub fn tree(nodes: &[[u8; 32]], width: usize, pad: [u8; 32]) -> [u8; 32] {
    if width == 1 {
        return nodes.first().copied().unwrap_or(pad);
    }
    let (left, right) = nodes.split_at(nodes.len().min(width / 2));
    hash::sha256(&[tree(left, width / 2, pad), tree(right, width / 2, pad)].concat())
}

/// An input, taken from the front; what is not there (any more) is zeros and nothing.
pub struct Parts<'a>(pub &'a [u8]);

impl<'a> Parts<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes, or all if there are fewer.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (part, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        part
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let part = self.take(N);
        core::array::from_fn(|at| part.get(at).copied().unwrap_or_default())
    }

    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// A number of bytes, and then as many.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = self.byte().into();
        self.take(len)
    }

    /// As [`Parts::bytes`], with what is no UTF-8 replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub fn ip(&mut self) -> std::net::IpAddr {
        if self.bit() { self.array::<16>().into() } else { self.array::<4>().into() }
    }

    pub fn addr(&mut self) -> std::net::SocketAddr {
        (self.ip(), self.u16()).into()
    }

    /// So many things as a byte says, `most` at most.
    pub fn list<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = usize::from(self.byte()) % (most + 1);
        (0..count).map(|_| one(self)).collect()
    }
}

/// A dictionary of these keys whose values are slices of the data: few inputs name a key by themselves.
pub fn dict_of(keys: &[&str], data: &[u8]) -> Vec<u8> {
    let values = data.chunks(data.len().div_ceil(keys.len()).max(1));
    bencode::encode_dict(|dict| {
        for (key, value) in keys.iter().zip(values) {
            match value {
                [0x00..0x40, digits @ ..] => dict.int(key, number(digits)),
                [0x40..0x60, entries @ ..] => dict.dict(key, |d| {
                    entries.chunks_exact(2).for_each(|entry| d.int([entry[0]], entry[1]));
                }),
                _ => dict.bytes(key, value),
            }
        }
    })
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().take(7).fold(0, |n, &digit| n << 8 | i64::from(digit)) - 1
}
