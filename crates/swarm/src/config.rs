//! What the owner of a swarm decides.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use types::{InfoHashV1, PeerId};

/// Settings of one swarm; they do not change while it lives.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our own id in this swarm: a peer that greets with it is ourselves.
    pub peer_id: PeerId,
    /// The torrent's name in handshakes: which pieces a choked peer may have hangs on it (BEP 6).
    pub info_hash: InfoHashV1,
    /// The client name that the extension handshake tells (BEP 10, `v`); empty tells none.
    pub client: String,
    /// The TCP port that the extension handshake tells (BEP 10, `p`).
    pub listen_port: Option<u16>,
    /// The most connections at once, both ways; one more is refused, or takes the place of one of lower priority (BEP 40).
    pub max_peers: usize,
    /// The most connection attempts under way at once.
    pub max_half_open: usize,
    /// How many peers are served at once, the optimistic one included; at least 1.
    pub upload_slots: usize,
    /// The most bytes per second that the driver lets in, if there is a limit: peers together are not asked for more
    /// than [`LIMITED_WINDOW`](crate::limits::LIMITED_WINDOW) of it at once.
    pub max_down: Option<u64>,
    /// The addresses under which others see us, if they are known; else what most peers say is taken. They decide which
    /// peers are dialed first and kept (BEP 40).
    pub external: Vec<IpAddr>,
    /// How many requests of one peer are queued, and told to be (BEP 10, `reqq`).
    pub reqq: u32,
    /// Whether to begin as a super seed (BEP 16), if every piece is there: pieces are shown to peers one by one, until
    /// each has been seen at another peer.
    pub super_seed: bool,
    /// Whether addresses are dialed at all; without, peers must come to us and [`NeedPeers`](crate::Output) is
    /// never said.
    pub dial: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            peer_id: PeerId::ours([0; 12]),
            info_hash: InfoHashV1([0; 20]),
            client: String::new(),
            listen_port: None,
            max_peers: 100,
            max_half_open: 20,
            upload_slots: 8,
            max_down: None,
            external: Vec::new(),
            reqq: 2048,
            super_seed: false,
            dial: true,
        }
    }
}
