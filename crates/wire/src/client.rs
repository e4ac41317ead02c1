//! Which client a peer id belongs to (BEP 20).

use alloc::format;
use alloc::string::String;
use types::PeerId;

/// The client's name and version as far as its peer id tells, "qBittorrent 4.5.2"; `None` for clients not known here.
///
/// A peer may call itself what it likes: this is for people, never for decisions.
pub fn name(id: &PeerId) -> Option<String> {
    azureus(&id.0).or_else(|| dashed(&id.0))
}

/// How the four version characters of an Azureus style id are read.
#[derive(Clone, Copy)]
enum Version {
    /// One number each, `A` is 10; a fourth that is not 1 to 9 is left out: `4520` is 4.5.2, `0D80` is 0.13.8.
    Dotted,
    /// Two digits each: `0208` is 2.08.
    Pairs,
    /// Dotted from version 4 on; before that `2940` was 2.94.
    Transmission,
}

/// The two letters of Azureus style ids, `-XX1234-`, of clients that are met today.
const AZUREUS: [(&[u8; 2], &str, Version); 26] = [
    (b"AZ", "Vuze", Version::Dotted),
    (b"BC", "BitComet", Version::Pairs),
    (b"BI", "BiglyBT", Version::Dotted),
    (b"BT", "BitTorrent", Version::Dotted),
    (b"DE", "Deluge", Version::Dotted),
    (b"FD", "Free Download Manager", Version::Dotted),
    (b"FL", "Flud", Version::Dotted),
    (b"FW", "FrostWire", Version::Dotted),
    (b"GT", "anacrolix/torrent", Version::Dotted),
    (b"HL", "Halite", Version::Dotted),
    (b"KT", "KTorrent", Version::Dotted),
    (b"LT", "libtorrent", Version::Dotted),
    (b"MO", "MonoTorrent", Version::Dotted),
    (b"PI", "PicoTorrent", Version::Dotted),
    (b"RW", "rawtorrent", Version::Dotted),
    (b"TR", "Transmission", Version::Transmission),
    (b"UM", "µTorrent for Mac", Version::Dotted),
    (b"UT", "µTorrent", Version::Dotted),
    (b"UW", "µTorrent Web", Version::Dotted),
    (b"WD", "WebTorrent Desktop", Version::Pairs),
    (b"WW", "WebTorrent", Version::Pairs),
    (b"XL", "Xunlei", Version::Dotted),
    (b"lt", "rTorrent (libTorrent)", Version::Dotted),
    (b"qB", "qBittorrent", Version::Dotted),
    (b"rQ", "rqbit", Version::Dotted),
    (b"st", "sharktorrent", Version::Dotted),
];

/// What comes before a version whose numbers are separated by dashes: `A2-1-36-0-`, `M7-10-5-`.
const DASHED: [(&[u8], &str); 2] = [(b"A2-", "aria2"), (b"M", "BitTorrent (mainline)")];

fn azureus(id: &[u8; 20]) -> Option<String> {
    let [b'-', a, b, version @ .., b'-'] = id.first_chunk::<8>()? else { return None };
    let &(_, client, style) = AZUREUS.iter().find(|(code, ..)| **code == [*a, *b])?;
    Some(format!("{client} {}", azureus_version(version, style)?))
}

fn azureus_version(version: &[u8; 4], style: Version) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(36);
    let [a, b, c] = [digit(version[0])?, digit(version[1])?, digit(version[2])?];
    let d = char::from(version[3]);
    match style {
        Version::Pairs => Some(format!("{}.{c}{}", a * 10 + b, d.to_digit(10)?)),
        Version::Transmission if a < 4 => Some(format!("{a}.{b}{c}")),
        Version::Dotted | Version::Transmission if matches!(d, '1'..='9') => Some(format!("{a}.{b}.{c}.{d}")),
        Version::Dotted | Version::Transmission => Some(format!("{a}.{b}.{c}")),
    }
}

fn dashed(id: &[u8; 20]) -> Option<String> {
    let known = |(prefix, client)| Some((id.strip_prefix(prefix)?, client));
    let (version, client) = DASHED.into_iter().find_map(known)?;
    let mut numbers = version.split(|&byte| byte == b'-').map(number);
    let [a, b, c] = [numbers.next()??, numbers.next()??, numbers.next()??];
    Some(format!("{client} {a}.{b}.{c}"))
}

/// One to three digits, as they stand.
fn number(digits: &[u8]) -> Option<&str> {
    let is_number = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(digits).ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(prefix: &[u8]) -> Option<String> {
        let mut id = [b'x'; 20];
        id[..prefix.len()].copy_from_slice(prefix);
        name(&PeerId(id))
    }

    #[test]
    fn clients_are_known_by_their_prefix() {
        for (prefix, client) in [
            ("-qB4520-", "qBittorrent 4.5.2"),
            ("-TR3000-", "Transmission 3.00"),
            ("-TR294Z-", "Transmission 2.94"),
            ("-TR4050-", "Transmission 4.0.5"),
            ("-LT20B0-", "libtorrent 2.0.11"),
            ("-lt0D80-", "rTorrent (libTorrent) 0.13.8"),
            ("-DE13F0-", "Deluge 1.3.15"),
            ("-DE211s-", "Deluge 2.1.1"),
            ("-AZ5751-", "Vuze 5.7.5.1"),
            ("-UT355W-", "µTorrent 3.5.5"),
            ("-BC0208-", "BitComet 2.08"),
            ("-WW0112-", "WebTorrent 1.12"),
            ("A2-1-36-0-", "aria2 1.36.0"),
            ("M7-10-5-", "BitTorrent (mainline) 7.10.5"),
            ("M4-3-6--", "BitTorrent (mainline) 4.3.6"),
        ] {
            assert_eq!(named(prefix.as_bytes()).as_deref(), Some(client), "{prefix}");
        }
        assert_eq!(name(&PeerId::ours([0; 12])).as_deref(), Some("rawtorrent 0.1.0"));
    }

    #[test]
    fn others_are_not_guessed() {
        for prefix in ["-ZZ1234-", "-qB45 0-", "-qB4520x", "qB4520--", "A2-1-x-0-", "A2-1234-5-6-", "M-1-2-3"]
        {
            assert_eq!(named(prefix.as_bytes()), None, "{prefix}");
        }
        assert_eq!(name(&PeerId([0; 20])), None);
    }

    proptest! {
        #[test]
        fn any_id_gives_printable_text(id: [u8; 20], code in 0..AZUREUS.len(), version: [u8; 4]) {
            let [a, b] = *AZUREUS[code].0;
            let [v, w, x, y] = version;
            let mut known = id;
            known[..8].copy_from_slice(&[b'-', a, b, v, w, x, y, b'-']);
            for id in [id, known] {
                prop_assert!(name(&PeerId(id)).is_none_or(|name| !name.contains(char::is_control)));
            }
        }
    }
}
