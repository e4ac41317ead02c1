//! The messages that follow the handshake, and how they are written.

use crate::id::Id;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use types::BlockRange;

/// One message of the peer wire protocol. Its numbers are as they came: the swarm checks them against the torrent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// Nothing, so that the connection is not taken for dead (BEP 3).
    KeepAlive,
    /// The sender will not answer requests (BEP 3).
    Choke,
    /// The sender answers requests from now on (BEP 3).
    Unchoke,
    /// The sender would make requests if unchoked (BEP 3).
    Interested,
    /// The sender wants nothing that the receiver has (BEP 3).
    NotInterested,
    /// The sender has one more piece (BEP 3).
    Have(u32),
    /// The pieces that the sender has, one bit each, piece 0 in the high bit of the first byte (BEP 3).
    Bitfield(Cow<'a, [u8]>),
    /// Send me these bytes (BEP 3).
    Request(Request),
    /// Bytes of a piece (BEP 3).
    Piece {
        /// The piece.
        index: u32,
        /// Where the bytes start in it.
        begin: u32,
        /// The bytes.
        data: Cow<'a, [u8]>,
    },
    /// These bytes are wanted no more (BEP 3).
    Cancel(Request),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// A piece that the sender would like to be asked for (BEP 6).
    Suggest(u32),
    /// The sender has every piece; stands in place of a bit field (BEP 6).
    HaveAll,
    /// The sender has no piece; stands in place of a bit field (BEP 6).
    HaveNone,
    /// This request will not be answered (BEP 6).
    Reject(Request),
    /// A piece that may be asked for even when choked (BEP 6).
    AllowedFast(u32),
    /// Send me these hashes (BEP 52).
    HashRequest(HashRange),
    /// Hashes of a Merkle tree (BEP 52).
    Hashes {
        /// What was asked for.
        range: HashRange,
        /// The hashes of the layer, then the uncles that prove them; 32 bytes each.
        hashes: Cow<'a, [u8]>,
    },
    /// These hashes will not be sent (BEP 52).
    HashReject(HashRange),
    /// A message of an extension (BEP 10); see [`ext`](crate::ext).
    Extended {
        /// 0 for the extension handshake, else the number that the receiver gave the extension in its own.
        id: u8,
        /// What the extension makes of it.
        payload: Cow<'a, [u8]>,
    },
}

/// The bytes that `request`, `cancel` and `reject request` are about. Nothing is checked yet: see
/// [`Lengths::block_range`](types::Lengths::block_range).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// The piece.
    pub index: u32,
    /// Where the bytes start in it.
    pub begin: u32,
    /// How many there are.
    pub length: u32,
}

/// The hashes that `hash request`, `hashes` and `hash reject` are about (BEP 52). Nothing is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRange {
    /// The root of a file's Merkle tree.
    pub pieces_root: [u8; 32],
    /// The layer, counted from the leaves, which are 0.
    pub base_layer: u32,
    /// The first hash of the layer.
    pub index: u32,
    /// How many hashes of the layer.
    pub length: u32,
    /// How many layers of uncles above them are wanted as a proof.
    pub proof_layers: u32,
}

impl From<BlockRange> for Request {
    fn from(block: BlockRange) -> Request {
        Request { index: block.piece.get(), begin: block.offset, length: block.len }
    }
}

impl<'a> Message<'a> {
    /// Appends the message to `out`, its length prefix included. Nothing is checked against any limit.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.encoded_len();
        out.reserve(self.encoded_len());
        let after_prefix = u32::try_from(self.encoded_len() - 4).expect("a message is far below 4 GiB");
        put_u32s(out, &[after_prefix]);
        out.extend(self.id().map(|id| id as u8));
        self.encode_payload(out);
        debug_assert_eq!(out.len(), end, "encoded_len is wrong for {self}");
    }

    /// How many bytes [`encode`](Self::encode) appends.
    pub fn encoded_len(&self) -> usize {
        let payload = match self {
            Message::KeepAlive => return 4,
            Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => 0,
            Message::HaveAll | Message::HaveNone => 0,
            Message::Port(_) => 2,
            Message::Have(_) | Message::Suggest(_) | Message::AllowedFast(_) => 4,
            Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => Request::LEN,
            Message::HashRequest(_) | Message::HashReject(_) => HashRange::LEN,
            Message::Hashes { hashes, .. } => HashRange::LEN + hashes.len(),
            Message::Bitfield(bits) => bits.len(),
            Message::Piece { data, .. } => 8 + data.len(),
            Message::Extended { payload, .. } => 1 + payload.len(),
        };
        4 + 1 + payload
    }

    fn encode_payload(&self, out: &mut Vec<u8>) {
        match self {
            Message::KeepAlive | Message::HaveAll | Message::HaveNone => {}
            Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => {}
            Message::Port(port) => out.extend(port.to_be_bytes()),
            Message::Have(piece) | Message::Suggest(piece) | Message::AllowedFast(piece) => {
                put_u32s(out, &[*piece]);
            }
            Message::Request(request) | Message::Cancel(request) | Message::Reject(request) => {
                request.encode(out);
            }
            Message::HashRequest(range) | Message::HashReject(range) => range.encode(out),
            Message::Hashes { range, hashes } => {
                range.encode(out);
                out.extend_from_slice(hashes);
            }
            Message::Bitfield(bits) => out.extend_from_slice(bits),
            Message::Piece { index, begin, data } => {
                put_u32s(out, &[*index, *begin]);
                out.extend_from_slice(data);
            }
            Message::Extended { id, payload } => {
                out.push(*id);
                out.extend_from_slice(payload);
            }
        }
    }

    /// The same message, free of the buffer that it was decoded from.
    pub fn into_owned(self) -> Message<'static> {
        let own = |bytes: Cow<'a, [u8]>| Cow::Owned(bytes.into_owned());
        match self {
            Message::Bitfield(bits) => Message::Bitfield(own(bits)),
            Message::Piece { index, begin, data } => Message::Piece { index, begin, data: own(data) },
            Message::Hashes { range, hashes } => Message::Hashes { range, hashes: own(hashes) },
            Message::Extended { id, payload } => Message::Extended { id, payload: own(payload) },
            Message::KeepAlive => Message::KeepAlive,
            Message::Choke => Message::Choke,
            Message::Unchoke => Message::Unchoke,
            Message::Interested => Message::Interested,
            Message::NotInterested => Message::NotInterested,
            Message::Have(piece) => Message::Have(piece),
            Message::Request(request) => Message::Request(request),
            Message::Cancel(request) => Message::Cancel(request),
            Message::Port(port) => Message::Port(port),
            Message::Suggest(piece) => Message::Suggest(piece),
            Message::HaveAll => Message::HaveAll,
            Message::HaveNone => Message::HaveNone,
            Message::Reject(request) => Message::Reject(request),
            Message::AllowedFast(piece) => Message::AllowedFast(piece),
            Message::HashRequest(range) => Message::HashRequest(range),
            Message::HashReject(range) => Message::HashReject(range),
        }
    }

    /// What its BEP calls this kind of message, in lower case: "not interested", "have all".
    pub fn name(&self) -> &'static str {
        self.id().map_or("keep-alive", Id::name)
    }

    fn id(&self) -> Option<Id> {
        Some(match self {
            Message::KeepAlive => return None,
            Message::Choke => Id::Choke,
            Message::Unchoke => Id::Unchoke,
            Message::Interested => Id::Interested,
            Message::NotInterested => Id::NotInterested,
            Message::Have(_) => Id::Have,
            Message::Bitfield(_) => Id::Bitfield,
            Message::Request(_) => Id::Request,
            Message::Piece { .. } => Id::Piece,
            Message::Cancel(_) => Id::Cancel,
            Message::Port(_) => Id::Port,
            Message::Suggest(_) => Id::Suggest,
            Message::HaveAll => Id::HaveAll,
            Message::HaveNone => Id::HaveNone,
            Message::Reject(_) => Id::Reject,
            Message::AllowedFast(_) => Id::AllowedFast,
            Message::HashRequest(_) => Id::HashRequest,
            Message::Hashes { .. } => Id::Hashes,
            Message::HashReject(_) => Id::HashReject,
            Message::Extended { .. } => Id::Extended,
        })
    }
}

/// The first 13 bytes of the `piece` message that answers a request for `block`: the block's bytes follow on the
/// wire, so that a driver need not copy them. `block.len` must be one that was let in, so far below 4 GiB.
pub fn encode_piece_header(block: BlockRange) -> [u8; 13] {
    let mut header = [0; 13];
    header[..4].copy_from_slice(&block.len.saturating_add(9).to_be_bytes());
    header[4] = Id::Piece as u8;
    header[5..9].copy_from_slice(&block.piece.get().to_be_bytes());
    header[9..].copy_from_slice(&block.offset.to_be_bytes());
    header
}

impl Request {
    /// How many bytes it takes on the wire.
    pub(crate) const LEN: usize = 12;

    fn encode(&self, out: &mut Vec<u8>) {
        put_u32s(out, &[self.index, self.begin, self.length]);
    }
}

impl HashRange {
    /// How many bytes it takes on the wire.
    pub(crate) const LEN: usize = 48;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.pieces_root);
        put_u32s(out, &[self.base_layer, self.index, self.length, self.proof_layers]);
    }
}

fn put_u32s(out: &mut Vec<u8>, numbers: &[u32]) {
    out.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
}

/// One line for people: `request piece 3, 16384 bytes at 32768`.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Message::KeepAlive | Message::HaveAll | Message::HaveNone => Ok(()),
            Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => Ok(()),
            Message::Have(piece) | Message::AllowedFast(piece) => write!(f, " piece {piece}"),
            Message::Suggest(piece) => write!(f, " {piece}"),
            Message::Bitfield(bits) => {
                let pieces: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                write!(f, " with {pieces} pieces")
            }
            Message::Request(request) | Message::Cancel(request) | Message::Reject(request) => {
                write!(f, " {request}")
            }
            Message::Piece { index, begin, data } => {
                write!(f, " {index}, {} bytes at {begin}", data.len())
            }
            Message::Port(port) => write!(f, " {port}"),
            Message::HashRequest(range) | Message::HashReject(range) => write!(f, " {range}"),
            Message::Hashes { range, hashes } => write!(f, " {range}, {} hashes sent", hashes.len() / 32),
            Message::Extended { id: 0, payload } => write!(f, " handshake, {} bytes", payload.len()),
            Message::Extended { id, payload } => write!(f, " {id}, {} bytes", payload.len()),
        }
    }
}

/// `piece 3, 16384 bytes at 32768`
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "piece {}, {} bytes at {}", self.index, self.length, self.begin)
    }
}

/// `layer 0, 512 from 1024` (the file that it belongs to is left out)
impl fmt::Display for HashRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}, {} from {}", self.base_layer, self.length, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use types::PieceIndex;

    /// One message of each kind, with its bytes as the BEP lays them out and its line for people.
    fn all() -> Vec<(Message<'static>, Vec<u8>, &'static str)> {
        let request = Request { index: 3, begin: 32768, length: 16384 };
        let request_bytes = |id| vec![0, 0, 0, 13, id, 0, 0, 0, 3, 0, 0, 0x80, 0, 0, 0, 0x40, 0];
        let range = HashRange { pieces_root: [9; 32], base_layer: 1, index: 512, length: 2, proof_layers: 3 };
        let range_bytes = |len, id| {
            let numbers = [0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 3];
            [&[0, 0, 0, len, id][..], &[9; 32], &numbers].concat()
        };
        vec![
            (Message::KeepAlive, vec![0; 4], "keep-alive"),
            (Message::Choke, vec![0, 0, 0, 1, 0], "choke"),
            (Message::Unchoke, vec![0, 0, 0, 1, 1], "unchoke"),
            (Message::Interested, vec![0, 0, 0, 1, 2], "interested"),
            (Message::NotInterested, vec![0, 0, 0, 1, 3], "not interested"),
            (Message::Have(258), vec![0, 0, 0, 5, 4, 0, 0, 1, 2], "have piece 258"),
            (Message::Bitfield(vec![0xa0].into()), vec![0, 0, 0, 2, 5, 0xa0], "bitfield with 2 pieces"),
            (Message::Request(request), request_bytes(6), "request piece 3, 16384 bytes at 32768"),
            (
                Message::Piece { index: 3, begin: 4, data: vec![7; 2].into() },
                vec![0, 0, 0, 11, 7, 0, 0, 0, 3, 0, 0, 0, 4, 7, 7],
                "piece 3, 2 bytes at 4",
            ),
            (Message::Cancel(request), request_bytes(8), "cancel piece 3, 16384 bytes at 32768"),
            (Message::Port(6881), vec![0, 0, 0, 3, 9, 0x1a, 0xe1], "port 6881"),
            (Message::Suggest(1), vec![0, 0, 0, 5, 0x0d, 0, 0, 0, 1], "suggest piece 1"),
            (Message::HaveAll, vec![0, 0, 0, 1, 0x0e], "have all"),
            (Message::HaveNone, vec![0, 0, 0, 1, 0x0f], "have none"),
            (Message::Reject(request), request_bytes(0x10), "reject request piece 3, 16384 bytes at 32768"),
            (Message::AllowedFast(1), vec![0, 0, 0, 5, 0x11, 0, 0, 0, 1], "allowed fast piece 1"),
            (
                Message::Extended { id: 0, payload: b"de".as_slice().into() },
                vec![0, 0, 0, 4, 20, 0, b'd', b'e'],
                "extended handshake, 2 bytes",
            ),
            (
                Message::Extended { id: 3, payload: b"".as_slice().into() },
                vec![0, 0, 0, 2, 20, 3],
                "extended 3, 0 bytes",
            ),
            (Message::HashRequest(range), range_bytes(49, 21), "hash request layer 1, 2 from 512"),
            (
                Message::Hashes { range, hashes: vec![5; 64].into() },
                [range_bytes(113, 22), vec![5; 64]].concat(),
                "hashes layer 1, 2 from 512, 2 hashes sent",
            ),
            (Message::HashReject(range), range_bytes(49, 23), "hash reject layer 1, 2 from 512"),
        ]
    }

    #[test]
    fn layouts_are_those_of_the_beps() {
        let limits = crate::Limits::for_pieces(8);
        for (message, bytes, line) in all() {
            let mut encoded = Vec::new();
            message.encode(&mut encoded);
            assert_eq!(encoded, bytes, "{message}");
            assert_eq!(message.encoded_len(), bytes.len(), "{message}");
            assert_eq!(message.to_string(), line);
            assert_eq!(message.clone().into_owned(), message);
            let decoded = crate::Decoded::Message { message, consumed: bytes.len() };
            assert_eq!(crate::decode(&bytes, &limits), Ok(decoded));
        }
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut names: Vec<_> = all().iter().map(|(message, ..)| message.name()).collect();
        names.dedup();
        assert_eq!(names.len(), 20, "both extended messages share one");
        assert!(names.contains(&"reject request") && names.contains(&"suggest piece"));
    }

    #[test]
    fn a_piece_can_be_written_without_its_bytes() {
        let block = BlockRange { piece: PieceIndex::new(3), offset: 32768, len: 4 };
        let mut whole = Vec::new();
        Message::Piece { index: 3, begin: 32768, data: vec![1; 4].into() }.encode(&mut whole);
        assert_eq!([&encode_piece_header(block)[..], &[1; 4]].concat(), whole);
        assert_eq!(Request::from(block), Request { index: 3, begin: 32768, length: 4 });
    }
}
