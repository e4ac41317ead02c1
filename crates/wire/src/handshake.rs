//! The 68 bytes with which every connection begins (BEP 3).

use crate::{Error, Reserved};
use types::{InfoHashV1, PeerId};

/// The length of a handshake in bytes.
pub const LEN: usize = 68;

/// The length byte and the protocol string, with which every handshake begins.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Who greets, for which torrent, and what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handshake {
    /// The extensions that the peer knows.
    pub reserved: Reserved,
    /// The torrent: [`InfoHash::wire`](types::InfoHash::wire).
    pub info_hash: InfoHashV1,
    /// How the peer calls itself.
    pub peer_id: PeerId,
}

/// As much of a handshake as has arrived.
///
/// The side that was dialled can answer when the info-hash is there; the dialling side may send its peer id later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// There after 28 bytes.
    pub reserved: Option<Reserved>,
    /// There after 48 bytes.
    pub info_hash: Option<InfoHashV1>,
    /// There after all 68 bytes.
    pub peer_id: Option<PeerId>,
}

impl Handshake {
    /// The handshake's bytes.
    pub fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved.0);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// Reads a whole handshake.
    ///
    /// # Errors
    /// Another protocol string than BitTorrent's.
    pub fn decode(bytes: &[u8; LEN]) -> Result<Handshake, Error> {
        let prefix = decode_prefix(bytes)?;
        Ok(prefix.complete().expect("68 bytes are a whole handshake"))
    }
}

/// Reads what has arrived of a handshake: the first [`LEN`] bytes of `buf`, or fewer.
///
/// # Errors
/// The first byte that is not the protocol string's, as soon as it is there.
pub fn decode_prefix(buf: &[u8]) -> Result<Prefix, Error> {
    if let Some((at, (&byte, _))) = buf.iter().zip(PROTOCOL).enumerate().find(|(_, (got, want))| got != want)
    {
        return Err(Error::NotBitTorrent { at, byte });
    }
    Ok(Prefix {
        reserved: field(buf, 20).map(Reserved),
        info_hash: field(buf, 28).map(InfoHashV1),
        peer_id: field(buf, 48).map(PeerId),
    })
}

impl Prefix {
    /// The handshake, if all of it is there.
    pub fn complete(&self) -> Option<Handshake> {
        Some(Handshake { reserved: self.reserved?, info_hash: self.info_hash?, peer_id: self.peer_id? })
    }
}

/// The `N` bytes at `at`, if they are all there.
fn field<const N: usize>(buf: &[u8], at: usize) -> Option<[u8; N]> {
    buf.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn ours() -> Handshake {
        Handshake {
            reserved: Reserved::NONE.with_extended().with_fast(),
            info_hash: InfoHashV1([0xab; 20]),
            peer_id: PeerId::ours([7; 12]),
        }
    }

    #[test]
    fn layout_is_that_of_bep_3() {
        let bytes = ours().encode();
        assert_eq!(bytes[0], 19);
        assert_eq!(&bytes[1..20], b"BitTorrent protocol");
        assert_eq!(bytes[20..28], [0, 0, 0, 0, 0, 0x10, 0, 0x04]);
        assert_eq!(bytes[28..48], [0xab; 20]);
        assert_eq!(bytes[48..], ours().peer_id.0);
        assert_eq!(Handshake::decode(&bytes), Ok(ours()));
    }

    #[test]
    fn each_part_is_known_as_soon_as_it_is_there() {
        let bytes = ours().encode();
        for len in 0..=LEN {
            let prefix = decode_prefix(&bytes[..len]).unwrap();
            assert_eq!(prefix.reserved, (len >= 28).then_some(ours().reserved));
            assert_eq!(prefix.info_hash, (len >= 48).then_some(ours().info_hash));
            assert_eq!(prefix.peer_id, (len >= 68).then_some(ours().peer_id));
            assert_eq!(prefix.complete(), (len == LEN).then(ours));
        }
        let and_more = [&bytes[..], b"\0\0\0\0"].concat();
        assert_eq!(decode_prefix(&and_more).unwrap().complete(), Some(ours()));
    }

    #[test]
    fn the_first_wrong_byte_is_enough() {
        let bytes = ours().encode();
        for at in 0..PROTOCOL.len() {
            let mut wrong = bytes;
            wrong[at] ^= 0x20;
            assert!(decode_prefix(&wrong[..at]).is_ok(), "nothing wrong before byte {at}");
            let error = Error::NotBitTorrent { at, byte: wrong[at] };
            assert_eq!(decode_prefix(&wrong[..=at]), Err(error));
            assert_eq!(Handshake::decode(&wrong), Err(error));
        }
        let http = decode_prefix(b"GET / HTTP/1.1\r\n").unwrap_err();
        assert_eq!(
            http.to_string(),
            "not a plain BitTorrent handshake: byte 0 is 0x47 (encrypted, or another protocol)"
        );
    }
}
