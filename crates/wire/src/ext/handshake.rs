//! The extension handshake (BEP 10).

use super::decode_dict;
use crate::{Error, MAX_CLIENT_NAME_LEN, MAX_EXTENSION_NAME_LEN, MAX_EXTENSIONS};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bencode::{DictEncoder, Value};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a peer tells about itself after the handshake. Everything may be absent; a later one adds to the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The number that each extension's messages to this peer must carry; 0 switches the extension off.
    pub m: BTreeMap<String, u8>,
    /// `v`: the client's name and version.
    pub client: Option<String>,
    /// `p`: the TCP port on which the peer listens.
    pub port: Option<u16>,
    /// How many requests the peer queues without dropping any.
    pub reqq: Option<u32>,
    /// The address of the receiver as the peer sees it.
    pub yourip: Option<IpAddr>,
    /// An IPv4 address of the peer.
    pub ipv4: Option<Ipv4Addr>,
    /// An IPv6 address of the peer.
    pub ipv6: Option<Ipv6Addr>,
    /// The length of the info dictionary in bytes (BEP 9).
    pub metadata_size: Option<u32>,
    /// Whether the peer wants nothing, though it may not have every piece (BEP 21).
    pub upload_only: bool,
}

impl Handshake {
    /// The number that messages of an extension must carry, if the peer speaks it.
    pub fn id_of(&self, extension: &str) -> Option<u8> {
        self.m.get(extension).copied().filter(|&id| id != 0)
    }

    /// The message's payload; what is absent is left out.
    pub fn encode(&self) -> Vec<u8> {
        bencode::encode_dict(|dict| {
            dict.dict("m", |m| self.m.iter().for_each(|(name, &id)| m.int(name, id)));
            put_int(dict, "metadata_size", self.metadata_size);
            put_int(dict, "p", self.port);
            put_int(dict, "reqq", self.reqq);
            put_int(dict, "upload_only", self.upload_only.then_some(1u8));
            put_bytes(dict, "v", self.client.as_ref());
            put_bytes(dict, "ipv4", self.ipv4.map(|ip| ip.octets()));
            put_bytes(dict, "ipv6", self.ipv6.map(|ip| ip.octets()));
            match self.yourip {
                Some(IpAddr::V4(ip)) => dict.bytes("yourip", ip.octets()),
                Some(IpAddr::V6(ip)) => dict.bytes("yourip", ip.octets()),
                None => {}
            }
        })
    }

    /// Reads a message's payload.
    ///
    /// A value of the wrong type or out of its range counts as absent. The client's name is made safe to show:
    /// broken UTF-8 and characters that steer terminals are replaced, [`MAX_CLIENT_NAME_LEN`] bytes kept. Of `m`, the first
    /// [`MAX_EXTENSIONS`] entries are kept whose names are UTF-8 and at most [`MAX_EXTENSION_NAME_LEN`] bytes.
    ///
    /// # Errors
    /// Not a bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Handshake, Error> {
        let (document, _) = decode_dict(NAME, payload)?;
        let dict = document.root();
        let number = |key: &str| u32::try_from(dict.get(key)?.as_uint()?).ok();
        let bytes = |key: &str| dict.get(key)?.as_bytes();
        Ok(Handshake {
            m: dict.get("m").map(extensions).unwrap_or_default(),
            client: bytes("v").map(client_name),
            port: number("p").and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0),
            reqq: number("reqq"),
            yourip: bytes("yourip").and_then(address),
            ipv4: bytes("ipv4").and_then(|ip| <[u8; 4]>::try_from(ip).ok()).map(Ipv4Addr::from),
            ipv6: bytes("ipv6").and_then(|ip| <[u8; 16]>::try_from(ip).ok()).map(Ipv6Addr::from),
            metadata_size: number("metadata_size"),
            upload_only: number("upload_only").is_some_and(|flag| flag != 0),
        })
    }
}

/// What errors call it.
const NAME: &str = "extension handshake";

fn put_int(dict: &mut DictEncoder<'_>, key: &str, value: Option<impl Into<i64>>) {
    if let Some(value) = value {
        dict.int(key, value);
    }
}

fn put_bytes(dict: &mut DictEncoder<'_>, key: &str, value: Option<impl AsRef<[u8]>>) {
    if let Some(value) = value {
        dict.bytes(key, value);
    }
}

fn extensions(m: Value<'_>) -> BTreeMap<String, u8> {
    let entry = |(name, id): (&[u8], Value<'_>)| {
        let name = core::str::from_utf8(name).ok().filter(|name| name.len() <= MAX_EXTENSION_NAME_LEN)?;
        Some((String::from(name), u8::try_from(id.as_uint()?).ok()?))
    };
    m.as_dict().into_iter().flatten().filter_map(entry).take(MAX_EXTENSIONS).collect()
}

fn client_name(bytes: &[u8]) -> String {
    let mut name = String::new();
    for (c, is_fit) in types::judged(&String::from_utf8_lossy(bytes)) {
        let c = if is_fit { c } else { char::REPLACEMENT_CHARACTER };
        if name.len() + c.len_utf8() > MAX_CLIENT_NAME_LEN {
            break;
        }
        name.push(c);
    }
    name
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_EXTENSION_DEPTH, MAX_EXTENSION_VALUES};
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn example_of_bep_10() {
        let payload = b"d1:md11:LT_metadatai1e6:ut_pexi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
        let handshake = Handshake::decode(payload).unwrap();
        assert_eq!(handshake.id_of("LT_metadata"), Some(1));
        assert_eq!(handshake.id_of("ut_pex"), Some(2));
        assert_eq!(handshake.id_of("ut_metadata"), None);
        assert_eq!((handshake.port, handshake.client.as_deref()), (Some(6881), Some("µTorrent 1.2")));
        assert_eq!(handshake.encode(), payload);
    }

    #[test]
    fn addresses_are_compact() {
        let handshake =
            Handshake::decode(b"d4:ipv44:\x01\x02\x03\x044:ipv616:0123456789abcdef6:yourip4:\x7f\0\0\x01e")
                .unwrap();
        assert_eq!(handshake.ipv4, Some([1, 2, 3, 4].into()));
        assert_eq!(handshake.ipv6, Some((*b"0123456789abcdef").into()));
        assert_eq!(handshake.yourip, Some([127, 0, 0, 1].into()));
        let v6 = Handshake::decode(b"d6:yourip16:0123456789abcdefe").unwrap();
        assert_eq!(v6.yourip, Some((*b"0123456789abcdef").into()));
    }

    #[test]
    fn wrong_values_count_as_absent() {
        let odd = b"d4:ipv43:\x01\x02\x034:ipv61:x1:md1:ai256e1:bi-1e1:c1:x2:ok\
            i9e3:\xffffi1ee13:metadata_sizei-5e1:pi65536e4:reqq2:501:vi7e6:yourip5:12345e";
        let mut expected = Handshake::default();
        expected.m.insert("ok".into(), 9);
        assert_eq!(Handshake::decode(odd), Ok(expected));
        assert_eq!(Handshake::decode(b"d1:mle1:pi0ee"), Ok(Handshake::default()));
    }

    #[test]
    fn zero_switches_an_extension_off() {
        let handshake = Handshake::decode(b"d1:md6:ut_pexi0eee").unwrap();
        assert_eq!(handshake.m.get("ut_pex"), Some(&0));
        assert_eq!(handshake.id_of("ut_pex"), None);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        let error = |payload: &[u8]| Handshake::decode(payload).unwrap_err().to_string();
        assert_eq!(error(b"i1e"), "extension handshake message: not a dictionary");
        assert_eq!(error(b"d1:m"), "extension handshake message: unexpected end of data at byte 4");
    }

    #[test]
    fn names_are_safe_to_show() {
        let name = |v: &[u8]| {
            let payload = bencode::encode_dict(|dict| dict.bytes("v", v));
            Handshake::decode(&payload).unwrap().client.unwrap()
        };
        assert_eq!(name(b"a\x1b[31m\nb\xff"), "a\u{fffd}[31m\u{fffd}b\u{fffd}");
        assert_eq!(name("a\u{202e}b\u{61c}".as_bytes()), "a\u{fffd}b\u{fffd}");
        assert_eq!(name("é".repeat(65).as_bytes()), "é".repeat(MAX_CLIENT_NAME_LEN / 2));
        assert_eq!(name("xé".repeat(65).as_bytes()).len(), MAX_CLIENT_NAME_LEN - 1, "no half character");
    }

    #[test]
    fn m_is_bounded() {
        let mut many = Handshake::default();
        many.m.insert("!".repeat(MAX_EXTENSION_NAME_LEN + 1), 1);
        many.m.insert("!".repeat(MAX_EXTENSION_NAME_LEN), 2);
        many.m.extend((0..100).map(|n| (format!("x{n:03}"), 3)));
        let kept = Handshake::decode(&many.encode()).unwrap().m;
        assert_eq!(kept.len(), MAX_EXTENSIONS);
        assert_eq!(kept.first_key_value().unwrap().1, &2, "the name that is too long is left out");
    }

    #[test]
    fn values_and_depth_are_bounded() {
        let values = |n| bencode::encode_dict(|dict| dict.list("x", |list| (0..n).for_each(|_| list.int(1))));
        assert!(Handshake::decode(&values(MAX_EXTENSION_VALUES - 3)).is_ok());
        let error = Handshake::decode(&values(MAX_EXTENSION_VALUES - 2)).unwrap_err().to_string();
        assert!(error.starts_with("extension handshake message: too many values"), "{error}");
        let nested = |n| ["d1:x", &"l".repeat(n), &"e".repeat(n), "e"].concat();
        assert!(Handshake::decode(nested(MAX_EXTENSION_DEPTH - 1).as_bytes()).is_ok());
        let error = Handshake::decode(nested(MAX_EXTENSION_DEPTH).as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("extension handshake message: lists or dictionaries nested too deeply"),
            "{error}"
        );
    }
}
