//! What the owner of a swarm can see of it.

use crate::PeerKey;
use alloc::vec::Vec;
use core::net::SocketAddr;
use types::PeerId;
use wire::Reserved;

/// Numbers of a swarm, all of this run. Costs nothing per piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Pieces that are verified.
    pub have_pieces: u32,
    /// Pieces that are wanted, verified ones included.
    pub wanted_pieces: u32,
    /// Bytes of wanted pieces.
    pub wanted_bytes: u64,
    /// Bytes of wanted pieces that are verified.
    pub done_bytes: u64,
    /// Bytes of all pieces that are not verified, wanted or not: what trackers are told is left.
    pub left_bytes: u64,
    /// Payload bytes received and taken by storage.
    pub downloaded: u64,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Payload bytes received in vain: duplicates, unrequested ones, and those of failed pieces.
    pub wasted: u64,
    /// Payload bytes received per second, of late.
    pub rate_down: u64,
    /// Payload bytes sent per second, of late.
    pub rate_up: u64,
    /// Bytes that came over the line, the estimated headers of TCP and IP included: what a limit counts.
    pub line_down: u64,
    /// Bytes that were sent over it, counted likewise.
    pub line_up: u64,
    /// More would be asked for at once if the limit allowed.
    pub held_down: bool,
    /// More would be sent at once if the limit allowed.
    pub held_up: bool,
    /// Peers want something and wait, since every slot is somebody else's.
    pub held_slots: bool,
    /// Connections.
    pub peers: usize,
    /// Connections with peers that want something of ours.
    pub interested: usize,
    /// Connections with peers that have every piece.
    pub seeds: usize,
    /// Peers that we serve.
    pub unchoked: usize,
    /// Connection attempts under way.
    pub connecting: usize,
    /// Addresses in the book.
    pub known: usize,
    /// Banned hosts.
    pub banned: usize,
    /// Pieces begun and not verified.
    pub partial_pieces: usize,
    /// Pieces that failed their hash.
    pub failed_pieces: u64,
    /// Whether every wanted piece is verified.
    pub finished: bool,
    /// Whether we super seed (BEP 16).
    pub super_seeding: bool,
    /// Whether the swarm is paused.
    pub paused: bool,
}

/// What becomes of the pieces that are wanted and not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// How many they are.
    pub missing: u32,
    /// How many of them nobody has who is connected.
    pub unseen: u32,
    /// How many have all their blocks and wait for their hash.
    pub unhashed: u32,
}

/// One connection as the swarm sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView<'a> {
    /// The driver's number.
    pub peer: PeerKey,
    /// The far end.
    pub addr: SocketAddr,
    /// Whether we dialed.
    pub outgoing: bool,
    /// The id in its handshake.
    pub peer_id: PeerId,
    /// The client name in its extension handshake.
    pub client: Option<&'a str>,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// It has something that we want.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// We have something that it wants.
    pub peer_interested: bool,
    /// It let our requests wait for too long.
    pub snubbed: bool,
    /// It took part in a piece that failed, and it is not known yet whose fault that was: it gets whole pieces.
    pub on_parole: bool,
    /// How many pieces it has.
    pub pieces: u32,
    /// Whether it has every piece.
    pub is_seed: bool,
    /// Payload bytes per second from it, of late.
    pub rate_down: u64,
    /// Payload bytes per second to it, of late.
    pub rate_up: u64,
    /// Payload bytes from it.
    pub downloaded: u64,
    /// Payload bytes to it.
    pub uploaded: u64,
    /// Our requests that it has not answered.
    pub requests_out: usize,
    /// How many requests it may have at once now.
    pub window: usize,
    /// Its requests that we have not answered.
    pub requests_in: usize,
}

/// How a connection began: for who joins later, and did not hear it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// The driver's number.
    pub peer: PeerKey,
    /// The far end.
    pub addr: SocketAddr,
    /// Whether we dialed.
    pub outgoing: bool,
    /// It is a web seed: it said nothing.
    pub is_web_seed: bool,
    /// The id in its handshake.
    pub peer_id: PeerId,
    /// The reserved bytes in its handshake (BEP 4).
    pub reserved: Reserved,
    /// The client name in its extension handshake.
    pub client: Option<&'a str>,
    /// Extensions (BEP 10) and the numbers that its messages to us have, by our word.
    pub to_us: Vec<(&'static str, u8)>,
    /// The same of our messages to it, by its word; of those that we know.
    pub to_it: Vec<(&'static str, u8)>,
}
