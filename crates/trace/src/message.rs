//! Messages with their fields, payload left out.

use crate::form;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use serde::{Deserialize, Serialize};
use types::BlockRange;
use wire::ext;
use wire::{HashRange, Message, Request};

/// A message of the peer wire protocol, as [`wire::Message`], without the bytes of blocks and metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the kinds are those of wire::Message")]
pub enum Said {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    HaveAll,
    HaveNone,
    Have {
        piece: u32,
    },
    SuggestPiece {
        piece: u32,
    },
    AllowedFast {
        /// `None` where addresses are masked: these pieces are made of the receiver's network (BEP 6), which could be found by them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        piece: Option<u32>,
    },
    Bitfield {
        /// How many bits are set.
        pieces: u32,
        /// As it was sent.
        #[serde(with = "form::hex")]
        bits: Vec<u8>,
    },
    Request(Block),
    Piece(Block),
    Cancel(Block),
    RejectRequest(Block),
    Port {
        port: u16,
    },
    HashRequest(Hashes),
    HashReject(Hashes),
    Hashes {
        range: Hashes,
        #[serde(with = "form::hex")]
        hashes: Vec<u8>,
    },
    Extended {
        /// The number that the receiver gave the extension; 0 is the extension handshake.
        id: u8,
        /// As it was sent, without the bytes of metadata.
        #[serde(with = "form::hex")]
        payload: Vec<u8>,
        /// How many bytes of metadata followed.
        left_out: u32,
        /// What it says.
        says: Ext,
    },
}

/// The bytes that a `request`, `piece`, `cancel` or `reject request` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Block {
    /// The piece.
    pub piece: u32,
    /// Where they start in it.
    pub offset: u32,
    /// How many there are.
    pub length: u32,
}

/// The hashes that a message of BEP 52 is about, as [`wire::HashRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of wire::HashRange")]
pub struct Hashes {
    #[serde(with = "form::hex32")]
    pub pieces_root: [u8; 32],
    pub base_layer: u32,
    pub index: u32,
    pub length: u32,
    pub proof_layers: u32,
}

/// What a message of the extension protocol (BEP 10) says. Addresses in it are `None`, or gone, where they are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "extension", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of wire::ext")]
pub enum Ext {
    /// See [`wire::ext::Handshake`].
    Handshake {
        m: BTreeMap<String, u8>,
        client: Option<String>,
        port: Option<u16>,
        reqq: Option<u32>,
        metadata_size: Option<u32>,
        upload_only: bool,
        yourip: Option<IpAddr>,
        ipv4: Option<Ipv4Addr>,
        ipv6: Option<Ipv6Addr>,
    },
    /// `ut_metadata`, a question (BEP 9).
    MetadataRequest { piece: u32 },
    /// `ut_metadata`, an answer (BEP 9).
    MetadataData { piece: u32, total_size: u32 },
    /// `ut_metadata`, a refusal (BEP 9).
    MetadataReject { piece: u32 },
    /// `ut_pex` (BEP 11).
    Pex { added: usize, dropped: usize, addrs: Vec<SocketAddr> },
    /// `lt_donthave` (BEP 54).
    DontHave { piece: u32 },
    /// `ut_holepunch` (BEP 55): `rendezvous`, `connect` or `error`.
    Holepunch { what: String, with: Option<SocketAddr> },
    /// An extension that is not known, or something that cannot be read.
    Unknown,
}

impl From<BlockRange> for Block {
    fn from(block: BlockRange) -> Block {
        Block { piece: block.piece.get(), offset: block.offset, length: block.len }
    }
}

impl From<Request> for Block {
    fn from(asked: Request) -> Block {
        Block { piece: asked.index, offset: asked.begin, length: asked.length }
    }
}

impl From<Block> for Request {
    fn from(block: Block) -> Request {
        Request { index: block.piece, begin: block.offset, length: block.length }
    }
}

impl From<HashRange> for Hashes {
    fn from(range: HashRange) -> Hashes {
        let HashRange { pieces_root, base_layer, index, length, proof_layers } = range;
        Hashes { pieces_root, base_layer, index, length, proof_layers }
    }
}

impl From<Hashes> for HashRange {
    fn from(range: Hashes) -> HashRange {
        let Hashes { pieces_root, base_layer, index, length, proof_layers } = range;
        HashRange { pieces_root, base_layer, index, length, proof_layers }
    }
}

impl Said {
    /// What a message says; `extension` is what its receiver calls its number by, if that is known.
    pub fn of(message: &Message<'_>, extension: Option<&str>) -> Said {
        match message {
            Message::KeepAlive => Said::KeepAlive,
            Message::Choke => Said::Choke,
            Message::Unchoke => Said::Unchoke,
            Message::Interested => Said::Interested,
            Message::NotInterested => Said::NotInterested,
            Message::HaveAll => Said::HaveAll,
            Message::HaveNone => Said::HaveNone,
            Message::Have(piece) => Said::Have { piece: *piece },
            Message::Suggest(piece) => Said::SuggestPiece { piece: *piece },
            Message::AllowedFast(piece) => Said::AllowedFast { piece: Some(*piece) },
            Message::Bitfield(bits) => {
                let pieces = bits.iter().map(|byte| byte.count_ones()).sum();
                Said::Bitfield { pieces, bits: bits.to_vec() }
            }
            Message::Request(asked) => Said::Request((*asked).into()),
            Message::Cancel(asked) => Said::Cancel((*asked).into()),
            Message::Reject(asked) => Said::RejectRequest((*asked).into()),
            Message::Piece { index, begin, data } => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                Said::Piece(Block { piece: *index, offset: *begin, length })
            }
            Message::Port(port) => Said::Port { port: *port },
            Message::HashRequest(range) => Said::HashRequest((*range).into()),
            Message::HashReject(range) => Said::HashReject((*range).into()),
            Message::Hashes { range, hashes } => {
                Said::Hashes { range: (*range).into(), hashes: hashes.to_vec() }
            }
            Message::Extended { id, payload } => extended(*id, payload, extension),
        }
    }

    /// The message as it goes over the wire, zeros in place of what was left out.
    pub fn to_wire(&self) -> Message<'static> {
        match self {
            Said::KeepAlive => Message::KeepAlive,
            Said::Choke => Message::Choke,
            Said::Unchoke => Message::Unchoke,
            Said::Interested => Message::Interested,
            Said::NotInterested => Message::NotInterested,
            Said::HaveAll => Message::HaveAll,
            Said::HaveNone => Message::HaveNone,
            Said::Have { piece } => Message::Have(*piece),
            Said::SuggestPiece { piece } => Message::Suggest(*piece),
            Said::AllowedFast { piece } => Message::AllowedFast(piece.unwrap_or_default()),
            Said::Bitfield { bits, .. } => Message::Bitfield(bits.clone().into()),
            Said::Request(block) => Message::Request((*block).into()),
            Said::Cancel(block) => Message::Cancel((*block).into()),
            Said::RejectRequest(block) => Message::Reject((*block).into()),
            Said::Piece(Block { piece, offset, length }) => {
                Message::Piece { index: *piece, begin: *offset, data: vec![0; *length as usize].into() }
            }
            Said::Port { port } => Message::Port(*port),
            Said::HashRequest(range) => Message::HashRequest((*range).into()),
            Said::HashReject(range) => Message::HashReject((*range).into()),
            Said::Hashes { range, hashes } => {
                Message::Hashes { range: (*range).into(), hashes: hashes.clone().into() }
            }
            Said::Extended { id, payload, left_out, .. } => {
                let mut payload = payload.clone();
                payload.resize(payload.len() + *left_out as usize, 0);
                Message::Extended { id: *id, payload: payload.into() }
            }
        }
    }

    /// What kind of message it is: what its BEP calls it, and of the extension protocol the extension.
    pub fn name(&self) -> &'static str {
        match self {
            // Not made of a message of the wire, whose bytes would have to be there.
            Said::Piece(_) => "piece",
            Said::Extended { says, .. } => match says {
                Ext::Handshake { .. } | Ext::Unknown => "extended",
                Ext::MetadataRequest { .. } | Ext::MetadataData { .. } | Ext::MetadataReject { .. } => {
                    "metadata"
                }
                Ext::Pex { .. } => "pex",
                Ext::DontHave { .. } => "don't have",
                Ext::Holepunch { .. } => "holepunch",
            },
            Said::Bitfield { .. } => "bitfield",
            Said::Hashes { .. } => "hashes",
            other => other.to_wire().name(),
        }
    }

    pub(crate) fn weight(&self) -> usize {
        match self {
            Said::Bitfield { bits: bytes, .. }
            | Said::Hashes { hashes: bytes, .. }
            | Said::Extended { payload: bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

fn extended(id: u8, payload: &[u8], extension: Option<&str>) -> Said {
    let says = decoded(id, payload, extension).unwrap_or(Ext::Unknown);
    let (payload, left_out) = match says {
        Ext::MetadataData { piece, total_size } => {
            let data = Default::default();
            let head = ext::Metadata::Data { piece, total_size, data }.encode();
            let left_out = payload.len().saturating_sub(head.len());
            (head, u32::try_from(left_out).unwrap_or(u32::MAX))
        }
        _ => (payload.to_vec(), 0),
    };
    Said::Extended { id, payload, left_out, says }
}

fn decoded(id: u8, payload: &[u8], extension: Option<&str>) -> Option<Ext> {
    if id == 0 {
        let ext::Handshake { m, client, port, reqq, yourip, ipv4, ipv6, metadata_size, upload_only } =
            ext::Handshake::decode(payload).ok()?;
        return Some(Ext::Handshake {
            m,
            client,
            port,
            reqq,
            metadata_size,
            upload_only,
            yourip,
            ipv4,
            ipv6,
        });
    }
    Some(match extension? {
        ext::UT_METADATA => match ext::Metadata::decode(payload).ok()?? {
            ext::Metadata::Request { piece } => Ext::MetadataRequest { piece },
            ext::Metadata::Data { piece, total_size, .. } => Ext::MetadataData { piece, total_size },
            ext::Metadata::Reject { piece } => Ext::MetadataReject { piece },
        },
        ext::UT_PEX => {
            let pex = ext::Pex::decode(payload).ok()?;
            let (added, dropped) = (pex.added.len(), pex.dropped.len());
            let addrs = pex.added.iter().map(|peer| peer.addr).chain(pex.dropped).collect();
            Ext::Pex { added, dropped, addrs }
        }
        ext::LT_DONTHAVE => Ext::DontHave { piece: ext::DontHave::decode(payload).ok()?.0 },
        ext::UT_HOLEPUNCH => {
            let ext::Holepunch { kind, addr } = ext::Holepunch::decode(payload).ok()?;
            let what = match kind {
                ext::HolepunchKind::Rendezvous => "rendezvous",
                ext::HolepunchKind::Connect => "connect",
                ext::HolepunchKind::Error(_) => "error",
            };
            Ext::Holepunch { what: what.into(), with: Some(addr) }
        }
        _ => return None,
    })
}

/// As [`wire::Message`] says it, and what extensions say.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Piece(block) => {
                write!(f, "piece {}, {} bytes at {}", block.piece, block.length, block.offset)
            }
            Said::AllowedFast { piece: None } => f.write_str("allowed fast (piece)"),
            Said::Extended { says: Ext::Unknown, .. } => self.to_wire().fmt(f),
            Said::Extended { says, .. } => says.fmt(f),
            other => other.to_wire().fmt(f),
        }
    }
}

impl fmt::Display for Ext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ext::Handshake { m, client, reqq, metadata_size, upload_only, port, .. } => {
                let client = client.as_deref().unwrap_or("a client without a name");
                write!(f, "extended handshake, {client}")?;
                for (name, id) in m {
                    write!(f, ", {name}={id}")?;
                }
                reqq.map_or(Ok(()), |reqq| write!(f, ", reqq {reqq}"))?;
                port.map_or(Ok(()), |port| write!(f, ", listens at {port}"))?;
                metadata_size.map_or(Ok(()), |size| write!(f, ", metadata of {size} bytes"))?;
                f.write_str(if *upload_only { ", wants nothing" } else { "" })
            }
            Ext::MetadataRequest { piece } => write!(f, "metadata request, piece {piece}"),
            Ext::MetadataData { piece, total_size } => {
                write!(f, "metadata data, piece {piece} of {total_size} bytes")
            }
            Ext::MetadataReject { piece } => write!(f, "metadata reject, piece {piece}"),
            Ext::Pex { added, dropped, .. } => write!(f, "pex, {added} added, {dropped} dropped"),
            Ext::DontHave { piece } => write!(f, "don't have piece {piece}"),
            Ext::Holepunch { what, with: Some(with) } => write!(f, "holepunch {what}, with {with}"),
            Ext::Holepunch { what, with: None } => write!(f, "holepunch {what}"),
            Ext::Unknown => f.write_str("extended"),
        }
    }
}
