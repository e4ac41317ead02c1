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
