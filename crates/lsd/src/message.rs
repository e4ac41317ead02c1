//! The one message there is: from bytes and to bytes (BEP 14).

use crate::Family;
use crate::limits::{MAX_DATAGRAM, MAX_HASHES, MAX_SENT};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::num::NonZeroU16;
use thiserror::Error;
use types::InfoHashV1;

/// A peer says which torrents it has a part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where it listens for connections, at the address that it sends from.
    pub port: NonZeroU16,
    /// The torrents, each once, in its order; at least one and [`MAX_HASHES`] at most.
    pub info_hashes: Vec<InfoHashV1>,
    /// By which it knows its own messages, if it tells.
    pub cookie: Option<&'a [u8]>,
}

/// Why a datagram is no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Longer than [`MAX_DATAGRAM`].
    #[error("too long")]
    TooLong,
    /// It does not begin as a `BT-SEARCH` does.
    #[error("no BT-SEARCH")]
    NoSearch,
    /// There is no empty line at the end.
    #[error("cut short")]
    CutShort,
    /// No port, or one that cannot be.
    #[error("no usable port")]
    NoPort,
    /// Nothing that could be the info-hash of a torrent.
    #[error("no info-hash")]
    NoInfoHash,
}

/// A message to one of the groups. It names the first [`MAX_HASHES`] torrents and is [`MAX_SENT`] bytes long at most, if
/// `cookie` is 16 bytes long at most.
pub fn encode(family: Family, port: NonZeroU16, info_hashes: &[InfoHashV1], cookie: &str) -> Vec<u8> {
    let mut text = String::with_capacity(MAX_SENT);
    let group = family.group();
    text += &format!("BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {port}\r\n");
    for hash in info_hashes.iter().take(MAX_HASHES) {
        // Writing to a string cannot fail.
        let _ = write!(text, "Infohash: {hash}\r\n");
    }
    text += &format!("cookie: {cookie}\r\n\r\n\r\n");
    text.into_bytes()
}

/// Reads a datagram. Names are taken in upper and lower case, headers in any order and with any space around what they
/// say, lines with and without a carriage return; what is not known is passed over, and of what is said twice the first
/// counts.
///
/// # Errors
/// [`Malformed`] says what is missing.
pub fn parse(datagram: &[u8]) -> Result<Message<'_>, Malformed> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Malformed::TooLong);
    }
    let mut lines = Lines(datagram);
    lines.next().filter(|line| is_search(line)).ok_or(Malformed::NoSearch)?;
    let (mut port, mut info_hashes, mut cookie) = (None, Vec::new(), None);
    loop {
        let line = lines.next().ok_or(Malformed::CutShort)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = header(line) else { continue };
        if name.eq_ignore_ascii_case(b"port") {
            port = port.or(Some(value));
        } else if name.eq_ignore_ascii_case(b"cookie") {
            cookie = cookie.or(Some(value));
        } else if name.eq_ignore_ascii_case(b"infohash")
            && let Some(hash) = info_hash(value)
            && info_hashes.len() < MAX_HASHES
            && !info_hashes.contains(&hash)
        {
            info_hashes.push(hash);
        }
    }
    let port = port.and_then(port_number).ok_or(Malformed::NoPort)?;
    if info_hashes.is_empty() {
        return Err(Malformed::NoInfoHash);
    }
    Ok(Message { port, info_hashes, cookie })
}

/// Lines that are ended as lines should be; what follows the last one is none.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn is_search(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let starts_like = |word: &[u8], with: &[u8]| {
        word.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"BT-SEARCH"))
        && words.next() == Some(b"*")
        && words.next().is_some_and(|word| starts_like(word, b"HTTP/1."))
        && words.next().is_none()
}

/// What a header is called, and what it says.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

fn info_hash(value: &[u8]) -> Option<InfoHashV1> {
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// Digits and nothing else: no sign, of which Rust would take one.
fn port_number(value: &[u8]) -> Option<NonZeroU16> {
    let digits = core::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const PORT: NonZeroU16 = NonZeroU16::new(6881).unwrap();

    fn hash(n: u8) -> InfoHashV1 {
        InfoHashV1([n; 20])
    }

    #[test]
    fn the_message_of_bep_14() {
        let expected = "BT-SEARCH * HTTP/1.1\r\n\
            Host: [ff15::efc0:988f]:6771\r\n\
            Port: 6881\r\n\
            Infohash: abababababababababababababababababababab\r\n\
            Infohash: 0101010101010101010101010101010101010101\r\n\
            cookie: 7\r\n\
            \r\n\
            \r\n";
        let bytes = encode(Family::V6, PORT, &[hash(0xab), hash(1)], "7");
        assert_eq!(core::str::from_utf8(&bytes), Ok(expected));
        let said = Message { port: PORT, info_hashes: vec![hash(0xab), hash(1)], cookie: Some(b"7") };
        assert_eq!(parse(&bytes), Ok(said));
    }

    #[test]
    fn others_write_it_in_other_ways() {
        let text = "bt-search  * http/1.0\n\
            X-Unknown: port: 5\n\
            no header at all\n\
            INFOHASH:ABABABABABABABABABABABABABABABABABABABAB\n\
            infohash: not a hash\n\
            infohash: abababababababababababababababababababab\n\
            pOrT : \t 6881 \n\
            Port: 6882\n\
            \n";
        let said = parse(text.as_bytes()).unwrap();
        assert_eq!(said, Message { port: PORT, info_hashes: vec![hash(0xab)], cookie: None });
    }

    #[test]
    fn says_what_is_missing() {
        let parse = |text: &str| parse(text.as_bytes()).unwrap_err();
        let hash = "Infohash: abababababababababababababababababababab\r\n";
        assert_eq!(parse(""), Malformed::NoSearch);
        for start in
            ["M-SEARCH * HTTP/1.1", "BT-SEARCH / HTTP/1.1", "BT-SEARCH * HTTP/2", "BT-SEARCH * HTTP/1.1 x"]
        {
            assert_eq!(parse(&format!("{start}\r\nPort: 1\r\n{hash}\r\n")), Malformed::NoSearch, "{start}");
        }
        assert_eq!(parse(&format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n{hash}")), Malformed::CutShort);
        for port in [
            "",
            "Port:\r\n",
            "Port: 0\r\n",
            "Port: 65536\r\n",
            "Port: +1\r\n",
            "Port: 0x1\r\n",
            "Port: 1 2\r\n",
        ] {
            assert_eq!(
                parse(&format!("BT-SEARCH * HTTP/1.1\r\n{port}{hash}\r\n")),
                Malformed::NoPort,
                "{port}"
            );
        }
        for hash in ["", "Infohash: ab\r\n", "Infohash: \u{e9}\r\n"] {
            assert_eq!(
                parse(&format!("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n{hash}\r\n")),
                Malformed::NoInfoHash
            );
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let hashes: Vec<InfoHashV1> = (0..30).map(hash).collect();
        for family in Family::BOTH {
            let bytes = encode(family, NonZeroU16::MAX, &hashes, "0123456789abcdef");
            assert!((MAX_SENT - 52..=MAX_SENT).contains(&bytes.len()), "{}: another hash fits", bytes.len());
            assert_eq!(parse(&bytes).unwrap().info_hashes, hashes[..MAX_HASHES]);
        }
        let mut text = String::from("BT-SEARCH * HTTP/1.1\nPort:1\n");
        hashes.iter().take(29).for_each(|hash| text += &format!("infohash:{hash}\n"));
        text += "\n";
        assert_eq!(parse(text.as_bytes()).unwrap().info_hashes, hashes[..MAX_HASHES]);
        text.extend(core::iter::repeat_n('\n', MAX_DATAGRAM - text.len()));
        assert!(parse(text.as_bytes()).is_ok());
        text += "\n";
        assert_eq!(parse(text.as_bytes()), Err(Malformed::TooLong));
    }

    proptest! {
        #[test]
        fn any_datagram_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
            let _ = parse(&bytes);
            let mut spoiled = encode(Family::V4, PORT, &[hash(1), hash(2)], "c");
            let at = cut.min(spoiled.len());
            spoiled.splice(at..at, bytes);
            let _ = parse(&spoiled);
        }

        #[test]
        fn what_is_said_is_heard(
            hashes in proptest::collection::btree_set(any::<[u8; 20]>(), 1..=MAX_HASHES),
            port in 1u16..,
            cookie in "[0-9a-f]{1,16}",
            cut in 0usize..MAX_SENT,
        ) {
            let hashes: Vec<InfoHashV1> = hashes.into_iter().map(InfoHashV1).collect();
            let port = NonZeroU16::new(port).unwrap();
            let bytes = encode(Family::V4, port, &hashes, &cookie);
            let said = Message { port, info_hashes: hashes, cookie: Some(cookie.as_bytes()) };
            prop_assert_eq!(parse(&bytes), Ok(said));
            // Without both empty lines it is not all there.
            let cut = cut.min(bytes.len() - 4);
            prop_assert!(parse(&bytes[..cut]).is_err());
        }
    }
}
