//! The messages of the DHT (BEP 5, 32, 33, 42, 43, 44, 51): from bytes and to bytes.
//!
//! Decoding borrows: `bencode` makes a document of the datagram, [`parse`] a [`Packet`] of the document.

mod decode;
mod encode;

use crate::items::put_target;
use crate::{Bloom, Contact, NodeId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

pub use decode::{Malformed, decode, parse};
pub(crate) use encode::{encode_error, encode_query};

/// What we call ourselves in every message (`v`): our letters, then the version.
pub const VERSION: &[u8; 4] = b"RW\x00\x01";

/// One datagram.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// Who asked says it, who answers repeats it (`t`).
    pub transaction: &'a [u8],
    /// The sender's client, if it tells (`v`).
    pub version: Option<&'a [u8]>,
    /// Under which address the sender sees us (`ip`, BEP 42).
    pub ip: Option<SocketAddr>,
    /// The rest.
    pub body: Body<'a>,
}

/// What kind of message it is, and what it says.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// A question.
    Query(Query<'a>),
    /// An answer.
    Response(Response<'a>),
    /// A refusal.
    Error {
        /// See [`code`].
        code: i64,
        /// In words; bytes that a stranger wrote.
        text: &'a [u8],
    },
}

/// Codes of errors (BEP 5, BEP 44).
pub mod code {
    /// Malformed, invalid arguments, or a bad token.
    pub const PROTOCOL: i64 = 203;
    /// No such method.
    pub const METHOD_UNKNOWN: i64 = 204;
    /// The value of an item is too long.
    pub const TOO_BIG: i64 = 205;
    /// The signature of an item is not its key's.
    pub const BAD_SIGNATURE: i64 = 206;
    /// The salt of an item is too long.
    pub const SALT_TOO_BIG: i64 = 207;
    /// Another item is stored than the one to be replaced.
    pub const CAS_MISMATCH: i64 = 301;
    /// A newer item is stored.
    pub const OLD_SEQUENCE: i64 = 302;
    /// There is no room, or not for this host.
    pub const SERVER: i64 = 202;
}

/// A question.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// Who asks.
    pub id: NodeId,
    /// It cannot be asked itself (BEP 43).
    pub read_only: bool,
    /// Which nodes it wants to hear of; `None`: those of the family that it asks over (BEP 32).
    pub want: Option<Want>,
    /// What it asks.
    pub method: Method<'a>,
}

/// Which nodes an answer is to name (BEP 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Those of the IPv4 DHT.
    pub v4: bool,
    /// Those of the IPv6 DHT.
    pub v6: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    /// Whether anybody is there.
    Ping,
    /// Nodes near a target.
    FindNode {
        /// Near what.
        target: NodeId,
    },
    /// Peers of a torrent, and nodes near its name.
    GetPeers {
        /// The torrent.
        info_hash: NodeId,
        /// Rather no seeds (BEP 33).
        noseed: bool,
        /// Filters of all seeds and peers, too (BEP 33).
        scrape: bool,
    },
    /// To be listed as a peer of a torrent.
    AnnouncePeer {
        /// The torrent.
        info_hash: NodeId,
        /// Where the peer listens.
        port: u16,
        /// Rather at the port that the query comes from: a NAT may have changed it.
        implied_port: bool,
        /// It has everything (BEP 33).
        seed: bool,
        /// From an answer to `get_peers`.
        token: &'a [u8],
    },
    /// An item (BEP 44), and nodes near its name.
    Get {
        /// Its name.
        target: NodeId,
        /// Only an item that is newer than this.
        seq: Option<i64>,
    },
    /// To store an item (BEP 44).
    Put(Put<'a>),
    /// Some of the torrents that the node knows peers of (BEP 51), and nodes near a target.
    SampleInfohashes {
        /// Near what.
        target: NodeId,
    },
    /// Something that we don't know. With a target it is taken as a question for nodes.
    Unknown {
        /// Near what.
        target: Option<NodeId>,
    },
}

impl Method<'_> {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Method::Ping => "ping",
            Method::FindNode { .. } => "find_node",
            Method::GetPeers { .. } => "get_peers",
            Method::AnnouncePeer { .. } => "announce_peer",
            Method::Get { .. } => "get",
            Method::Put(_) => "put",
            Method::SampleInfohashes { .. } => "sample_infohashes",
            Method::Unknown { .. } => "unknown",
        }
    }

    /// The torrent or item that it is about, or near what nodes are asked for.
    pub fn target(&self) -> Option<NodeId> {
        match self {
            Method::Ping => None,
            Method::FindNode { target }
            | Method::Get { target, .. }
            | Method::SampleInfohashes { target } => Some(*target),
            Method::GetPeers { info_hash, .. } | Method::AnnouncePeer { info_hash, .. } => Some(*info_hash),
            Method::Put(put) => Some(put_target(put)),
            Method::Unknown { target } => *target,
        }
    }
}

/// An item to be stored (BEP 44).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put<'a> {
    /// From an answer to `get`.
    pub token: &'a [u8],
    /// Its value, bencoded.
    pub value: &'a [u8],
    /// What a mutable item has besides.
    pub signed: Option<Signed<'a>>,
    /// Store it only in place of the item with this sequence number.
    pub cas: Option<i64>,
}

/// What a mutable item has besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The public key.
    pub key: &'a [u8; 32],
    /// Which of the key's items it is; empty for its only one.
    pub salt: &'a [u8],
    /// Which version.
    pub seq: i64,
    /// Of salt, sequence number and value.
    pub signature: &'a [u8; 64],
}

/// An answer, as it came in. Anything may be missing but the id.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// Who answers.
    pub id: NodeId,
    /// Compact nodes of the IPv4 DHT.
    pub nodes: &'a [u8],
    /// Compact nodes of the IPv6 DHT.
    pub nodes6: &'a [u8],
    /// With which something may be stored.
    pub token: Option<&'a [u8]>,
    /// Peers.
    pub values: Vec<SocketAddr>,
    /// Filters of all seeds and of all other peers (BEP 33).
    pub blooms: Option<Box<(Bloom, Bloom)>>,
    /// An item's value, bencoded (BEP 44).
    pub value: Option<&'a [u8]>,
    /// An item's key.
    pub key: Option<&'a [u8; 32]>,
    /// An item's signature.
    pub signature: Option<&'a [u8; 64]>,
    /// An item's sequence number.
    pub seq: Option<i64>,
    /// What a sample has.
    pub sample: Option<Sample<'a>>,
}

/// A sample of the torrents that a node knows peers of (BEP 51).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Info-hashes, 20 bytes each.
    pub samples: &'a [u8],
    /// How many there are.
    pub num: u64,
    /// Seconds for which asking again brings nothing new: 0 to 21,600.
    pub interval: u64,
}

/// An answer of ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) nodes: Option<Vec<Contact>>,
    pub(crate) nodes6: Option<Vec<Contact>>,
    pub(crate) token: Option<[u8; crate::limits::TOKEN_LEN]>,
    /// As many are sent as fit.
    pub(crate) values: Vec<SocketAddr>,
    pub(crate) blooms: Option<(Bloom, Bloom)>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) signed: Option<Signed<'a>>,
    /// Of an item that is stored, but not newer than the one the asker has.
    pub(crate) seq: Option<i64>,
    pub(crate) sample: Option<Sample<'a>>,
}
