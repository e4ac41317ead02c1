//! What a swarm is told and what it wants done.

use crate::{Limits, Order, PeerSource, Priority};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use thiserror::Error;
use types::{Bitfield, BlockDigest, BlockRange, PeerId, PieceIndex, Time};
use wire::{Message, Reserved};

/// One connection. The driver chooses the number and never uses it twice for one swarm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.0)
    }
}

/// What happened. Inputs about a peer that the swarm does not know (any more) are ignored.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Both handshakes are done and the info-hash is ours.
    PeerConnected {
        /// The driver's number for the connection.
        peer: PeerKey,
        /// The far end; for an outgoing connection exactly what [`Output::Connect`] said.
        addr: SocketAddr,
        /// Whether we dialed.
        outgoing: bool,
        /// The id in the peer's handshake.
        peer_id: PeerId,
        /// The reserved bits in the peer's handshake; ours are taken to be fast and extended.
        reserved: Reserved,
    },
    /// A web seed (BEP 19) can be asked from now on. It is dealt with like a peer that has some pieces and never chokes,
    /// but nothing is ever sent to it, and what it is asked for comes in runs of blocks that follow each other.
    WebSeedReady {
        /// The driver's number for it, as for a connection.
        peer: PeerKey,
        /// Where it is: who spoils pieces is known by this.
        addr: SocketAddr,
        /// The pieces that it has; ignored if their number is not the torrent's.
        pieces: &'a Bitfield,
    },
    /// A message other than `piece`.
    Message {
        /// From whom.
        peer: PeerKey,
        /// The message; its numbers are checked here.
        message: Message<'a>,
    },
    /// A block that had been asked for arrived, and storage took it. All blocks of a piece are told before what
    /// the piece came to.
    BlockReceived {
        /// From whom.
        peer: PeerKey,
        /// Which.
        block: BlockRange,
    },
    /// A block that had been asked for arrived, but storage did not take it. If it has it from somebody else,
    /// that is or will be told as [`Input::BlockReceived`].
    BlockRefused {
        /// From whom.
        peer: PeerKey,
        /// Which.
        block: BlockRange,
    },
    /// A `piece` message that had not been asked for (or no more); its payload was dropped.
    Unrequested {
        /// From whom.
        peer: PeerKey,
        /// Which, by the peer's own word: the torrent need not have it.
        block: BlockRange,
    },
    /// The connection is gone, whoever closed it. Not needed after [`Output::Disconnect`], but harmless.
    PeerClosed {
        /// Which.
        peer: PeerKey,
    },
    /// An [`Output::Connect`] came to nothing: no connection, or no valid handshake in time.
    ConnectFailed {
        /// The address that was dialed.
        addr: SocketAddr,
    },
    /// Addresses of peers of this torrent.
    PeersFound {
        /// Where they listen.
        addrs: &'a [SocketAddr],
        /// Who said so.
        source: PeerSource,
    },
    /// Somebody who is no peer, such as a tracker (BEP 24), says under which address it sees us: one voice among those of
    /// peers (BEP 10, `yourip`).
    ExternalAddress {
        /// A number of the driver's choice for who says so: for one host always the same.
        voice: u64,
        /// The address.
        ip: IpAddr,
    },
    /// Storage hashed a piece and it is right.
    PieceVerified {
        /// Which.
        piece: PieceIndex,
        /// The digest of each of its blocks, in order: needed only if the piece failed before, and may be empty even
        /// then, but then nobody who spoiled it is found.
        digests: &'a [BlockDigest],
    },
    /// A piece that was verified is not in storage any more: it is wanted again, if it ever was.
    PieceLost {
        /// Which.
        piece: PieceIndex,
    },
    /// Storage hashed a piece, it is wrong, and its blocks are gone.
    PieceFailed {
        /// Which.
        piece: PieceIndex,
        /// Some of its blocks were read from disk to be hashed, where they may have been spoiled: that the piece is
        /// bad proves nothing against anybody.
        from_disk: bool,
        /// The digest of each of its blocks, in order, made like those of [`Input::PieceVerified`]; `None` where what
        /// was hashed need not be what the peer sent. Empty if unknown.
        digests: &'a [Option<BlockDigest>],
    },
    /// Blocks that [`Output::Forget`] named are not in storage any more.
    BlocksForgotten {
        /// Of which piece.
        piece: PieceIndex,
        /// Their numbers.
        blocks: &'a [u32],
    },
    /// A block that [`Output::Serve`] named was written to the socket.
    BlockSent {
        /// To whom.
        peer: PeerKey,
        /// Which.
        block: BlockRange,
    },
    /// A block that [`Output::Serve`] named could not be read.
    ServeFailed {
        /// For whom.
        peer: PeerKey,
        /// Which.
        block: BlockRange,
    },
    /// From now on pieces are wanted so much, the first one first; a list that does not have one priority for each
    /// piece is ignored. At first all are [`Priority::Normal`].
    SetPriorities(&'a [Priority]),
    /// The piece is wanted by this time, or no longer by any: those with a deadline come before all others, the
    /// earliest first. Ignored for a piece that is there, or not wanted at all; over when it is there. See
    /// [`MAX_DEADLINES`](crate::limits::MAX_DEADLINES).
    SetDeadline {
        /// Which.
        piece: PieceIndex,
        /// When.
        at: Option<Time>,
    },
    /// From now on pieces are fetched in this order. At first it is [`Order::RarestFirst`].
    SetOrder(Order),
    /// Blocks of a piece that an earlier run left in storage, by number. To be told before any peer.
    SetPartial {
        /// Which piece.
        piece: PieceIndex,
        /// Numbers of its blocks ([`Lengths::block`](types::Lengths::block)).
        blocks: &'a [u32],
    },
    /// Super seed (BEP 16) from now on, or no more. To begin, every piece must be there; peers that are connected know
    /// what we have and stay so. It ends by itself when each piece has been seen at another peer.
    SetSuperSeed(bool),
    /// From now on these limits hold, in place of those in [`Config`](crate::Config).
    SetLimits(Limits),
    /// Close every connection and make no new one.
    Pause,
    /// Go on.
    Resume,
}

/// What the driver is to do. After each input, take outputs until there are none: they are in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        peer: PeerKey,
        /// What.
        message: Message<'static>,
    },
    /// Send a `request` and remember the block as asked for.
    Request {
        /// Whom to ask.
        peer: PeerKey,
        /// What for.
        block: BlockRange,
    },
    /// Send a `cancel`. The block may still arrive: it then is [`Input::BlockReceived`] or
    /// [`Input::BlockRefused`] if the driver still knows it as asked for, else [`Input::Unrequested`].
    Cancel {
        /// Who had been asked.
        peer: PeerKey,
        /// What for.
        block: BlockRange,
    },
    /// Read a verified block and send it; to be answered with [`Input::BlockSent`] or [`Input::ServeFailed`].
    /// Few are outstanding at a time: the rest of the peer's requests wait in the swarm.
    Serve {
        /// Whom.
        peer: PeerKey,
        /// What with.
        block: BlockRange,
    },
    /// Send a `ut_metadata` message with a piece of the metadata (BEP 9), which is there and has this length.
    ServeMetadata {
        /// Whom.
        peer: PeerKey,
        /// The number that the message must carry.
        id: u8,
        /// Which piece, of [`METADATA_PIECE_LEN`](wire::ext::METADATA_PIECE_LEN) bytes.
        piece: u32,
        /// Of all of it, in bytes.
        total_size: u32,
    },
    /// The peer asks for more than is queued for it, and knows no `reject` (BEP 6): read nothing of it until
    /// [`Output::Release`]. What was read before is still to be told, at most a quarter of
    /// [`Config::max_requests`](crate::Config::max_requests) of its requests.
    Hold {
        /// Whom.
        peer: PeerKey,
    },
    /// Read on.
    Release {
        /// Whom.
        peer: PeerKey,
    },
    /// We choked the peer: forget every [`Output::Serve`] for it that is not on its way. No answer is needed.
    DropServes {
        /// For whom.
        peer: PeerKey,
    },
    /// Dial; ends in [`Input::PeerConnected`] or [`Input::ConnectFailed`].
    Connect {
        /// Where.
        addr: SocketAddr,
    },
    /// Close the connection once what was sent before is written (or give up on that soon). The swarm has
    /// forgotten the peer.
    Disconnect {
        /// Which.
        peer: PeerKey,
        /// Why.
        reason: DisconnectReason,
    },
    /// A peer told of so many others that were not known (BEP 11, 55): nothing is to be done.
    PeersTold {
        /// Who.
        peer: PeerKey,
        /// How many.
        peers: usize,
    },
    /// More addresses would be useful; said at most every
    /// [`NEED_PEERS_INTERVAL`](crate::limits::NEED_PEERS_INTERVAL).
    NeedPeers,
    /// Every wanted piece is verified: said once, and again when it becomes true again.
    Finished,
    /// Drop these blocks of a piece that is not complete: who sent them was banned for others. To be answered with
    /// [`Input::BlocksForgotten`]; if that can't be done, or the piece came to something meanwhile, with nothing.
    Forget {
        /// Of which piece.
        piece: PieceIndex,
        /// Their numbers.
        blocks: Vec<u32>,
    },
    /// No connection with this address any more; its [`Output::Disconnect`]s have been said.
    Banned {
        /// Whose address; the port means something on loopback addresses only.
        addr: SocketAddr,
        /// What it did.
        reason: BanReason,
    },
}

/// Why the swarm closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum DisconnectReason {
    /// The peer id is our own.
    #[error("it is ourselves")]
    Ourselves,
    /// Another connection with the same peer is kept.
    #[error("connected to the same peer twice")]
    Duplicate,
    /// [`Config::max_peers`](crate::Config::max_peers) is reached.
    #[error("too many peers")]
    TooManyPeers,
    /// [`Config::max_peers`](crate::Config::max_peers) is reached, and a peer of higher priority came (BEP 40).
    #[error("made room for a peer of higher priority")]
    Outranked,
    /// [`Config::max_peers`](crate::Config::max_peers) is reached, it is of no use, its host has most connections, and a peer
    /// at another host came.
    #[error("made room for a peer at another host")]
    Crowd,
    /// See [`Output::Banned`].
    #[error("banned for bad data")]
    Banned,
    /// Neither side wants anything of the other.
    #[error("both sides have all they want")]
    BothSeeds,
    /// No message for [`IDLE_TIMEOUT`](crate::limits::IDLE_TIMEOUT).
    #[error("silent for too long")]
    Idle,
    /// It sent nothing for [`TURNOVER_INTERVAL`](crate::limits::TURNOVER_INTERVAL), every connection is taken, and
    /// others wait.
    #[error("gives nothing, and others wait")]
    Useless,
    /// [`Input::Pause`].
    #[error("the torrent is paused")]
    Paused,
    /// A bit field that does not fit the torrent.
    #[error("sent a bit field of the wrong size or with spare bits set")]
    BadBitfield,
    /// A `have` for a piece that the torrent does not have.
    #[error("has a piece that the torrent does not have")]
    BadHave,
    /// It, or others at its host, said anew what they have so often that more than [`MAX_RECOUNTED`](crate::limits::MAX_RECOUNTED) pieces were counted
    /// anew.
    #[error("says that it has other pieces, again and again")]
    Fickle,
    /// A request outside of the torrent or longer than a block may be, from a peer that knows no `reject`.
    #[error("asked for bytes that are not there")]
    BadRequest,
    /// More unanswered requests than are queued, from a peer that knows no `reject` and is read though it was to be
    /// [held](Output::Hold); or too many bad ones.
    #[error("asked for too much at once")]
    TooManyRequests,
    /// A BEP 6 message though its handshake did not offer BEP 6.
    #[error("used the fast extension without offering it")]
    FastNotOffered,
    /// A BEP 10 message though its handshake did not offer BEP 10.
    #[error("used the extension protocol without offering it")]
    ExtendedNotOffered,
    /// An extension handshake that cannot be read.
    #[error("sent a broken extension handshake")]
    BadExtensionHandshake,
    /// A `ut_metadata` message that cannot be read, or that says another length than the peer did before.
    #[error("sent a broken or contradictory metadata message")]
    BadMetadata,
    /// A `ut_pex` message that cannot be read.
    #[error("sent a broken peer exchange message")]
    BadExchange,
    /// More than [`MAX_EXCHANGE_EXCESS`](crate::limits::MAX_EXCHANGE_EXCESS) `ut_pex` messages came too soon.
    #[error("tells of peers again and again")]
    TooMuchExchange,
    /// The torrent is private (BEP 27), and it was not found through its trackers or its user.
    #[error("the torrent is private, and the peer was found elsewhere")]
    Private,
    /// More would have to be remembered of what peers have than [`MAX_KEPT_BYTES`](crate::limits::MAX_KEPT_BYTES).
    #[error("too much to remember before the metadata is there")]
    TooMuchToKeep,
    /// A BEP 52 hash message in a swarm of v1 pieces.
    #[error("sent a v2 hash message in a v1 swarm")]
    UnexpectedHashes,
    /// A `piece` message handed in as a message, or more payload nobody asked for than is tolerated.
    #[error("sent data that nobody asked for")]
    UnrequestedData,
}

/// Why an address is banned, with the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum BanReason {
    /// It alone sent every block of a piece whose hash was wrong.
    #[error("all of piece {0} came from it and was wrong")]
    SpoiledPiece(PieceIndex),
    /// It sent a block of a piece whose hash was wrong, and another one is in its place now that the hash is right.
    #[error("block {block} of piece {piece} came from it and was wrong")]
    WrongBlock {
        /// Which piece.
        piece: PieceIndex,
        /// The block's number within it.
        block: u32,
    },
    /// It alone sent metadata of the length that it claimed, and the hash was wrong.
    #[error("all of the metadata came from it and was wrong")]
    SpoiledMetadata,
    /// It sent a piece of metadata that was wrong, and another one is in its place now that the hash is right.
    #[error("metadata came from it that was wrong")]
    WrongMetadata,
    /// It sent the same block twice, for two attempts at a piece, and not the same bytes.
    #[error("two versions of block {block} of piece {piece} came from it")]
    TwoVersions {
        /// Which piece.
        piece: PieceIndex,
        /// The block's number within it.
        block: u32,
    },
}
