//! What a node is told and what it wants done.

use crate::{Contact, Family, ImmutableItem, MutableItem, NodeId};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use types::InfoHashV1;

/// A lookup of the owner, by a number that the owner chooses; a number may be used again when its lookup is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupKey(pub u64);

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lookup {}", self.0)
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram came in.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// What it holds, whoever wrote it.
        bytes: &'a [u8],
    },
    /// Nodes that the owner knows of, from a torrent file, a `port` message (BEP 5) or a magnet link: they are asked, and
    /// get into a table if they answer.
    Nodes {
        /// Where they are.
        addrs: &'a [SocketAddr],
    },
    /// Something is to be looked up or stored. Ignored if a lookup of this number is under way.
    Start {
        /// What the lookup is called from here on.
        key: LookupKey,
        /// What is to be done.
        command: Command,
    },
    /// A lookup is no longer of interest: nothing more is said of it.
    Cancel {
        /// Which.
        key: LookupKey,
    },
}

/// What is to be looked up or stored, in the DHTs of both families if the node takes part in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The nodes closest to a target.
    FindNode {
        /// Near what.
        target: NodeId,
    },
    /// Peers of a torrent.
    GetPeers {
        /// The torrent.
        info_hash: InfoHashV1,
        /// Rather no seeds (BEP 33): for seeds.
        noseed: bool,
    },
    /// Peers of a torrent, and to be listed as one of them at the closest nodes.
    Announce {
        /// The torrent.
        info_hash: InfoHashV1,
        /// Where we listen: over IPv4, and over IPv6.
        ports: [u16; 2],
        /// Rather at the port that our datagrams come from, if a NAT changed it.
        implied_port: bool,
        /// We have everything (BEP 33).
        seed: bool,
    },
    /// How many peers and seeds a torrent has (BEP 33).
    Scrape {
        /// The torrent.
        info_hash: InfoHashV1,
    },
    /// An item (BEP 44): an immutable one, or the latest version of a mutable one.
    Get {
        /// Its name: see [`ImmutableItem::target`] and [`MutableItem::target`].
        target: NodeId,
        /// The salt of a mutable item: without it, it cannot be verified.
        salt: Vec<u8>,
    },
    /// Stores an item at the closest nodes (BEP 44).
    PutImmutable(ImmutableItem),
    /// Stores a version of an item at the closest nodes (BEP 44); anybody can, who has the signed item.
    PutMutable {
        /// The item.
        item: MutableItem,
        /// Only in place of the version of this number.
        cas: Option<i64>,
    },
    /// What torrents the nodes near a target know peers of (BEP 51).
    Sample {
        /// Near what.
        target: NodeId,
    },
}

impl Command {
    /// Whether something is to be stored at the end of the way.
    pub fn stores(&self) -> bool {
        matches!(self, Command::Announce { .. } | Command::PutImmutable(_) | Command::PutMutable { .. })
    }

    /// Whose neighbourhood is walked to.
    pub fn target(&self) -> NodeId {
        match self {
            Command::FindNode { target } | Command::Get { target, .. } | Command::Sample { target } => {
                *target
            }
            Command::GetPeers { info_hash, .. }
            | Command::Announce { info_hash, .. }
            | Command::Scrape { info_hash } => NodeId::from(*info_hash),
            Command::PutImmutable(item) => item.target(),
            Command::PutMutable { item, .. } => item.target(),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A datagram is to be sent. If it gets lost, so be it.
    Send {
        /// To where.
        to: SocketAddr,
        /// What it holds.
        bytes: Vec<u8>,
    },
    /// How a lookup of the owner gets on.
    Lookup {
        /// Which.
        key: LookupKey,
        /// How.
        event: LookupEvent,
    },
    /// Nodes agree on the address under which they see us (BEP 42).
    ExternalAddress {
        /// The address.
        ip: IpAddr,
    },
    /// A query, or what came of it: only while that is to be told ([`Node::set_heard`](crate::Node::set_heard)).
    Exchange(Exchange),
}

/// A query of ours or of a stranger, or what came of it. What is not looked at, since too much comes, is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The other node.
    pub node: SocketAddr,
    /// We asked it; else it asked us.
    pub is_ours: bool,
    /// What is asked.
    pub asked: Asked,
    /// How far it is.
    pub stage: Stage,
}

/// What a query asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name on the wire.
    pub method: &'static str,
    /// Of which torrent or item, or near what.
    pub target: Option<NodeId>,
    /// The lookup of the owner that it is a part of.
    pub key: Option<LookupKey>,
}

/// How far a query is; times are since it was sent, and zero where we answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was sent, or sent once more.
    Sent,
    /// It was answered.
    Answered {
        /// After how long.
        took: Duration,
        /// How many nodes are in the answer.
        nodes: usize,
        /// How many peers are.
        peers: usize,
    },
    /// It was refused.
    Refused {
        /// After how long.
        took: Duration,
        /// See [`code`](crate::krpc::code).
        code: i64,
        /// In words, fit to be shown.
        text: String,
    },
    /// It is not waited for any more.
    TimedOut {
        /// After how long.
        took: Duration,
    },
}

/// A node on the way of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where it is.
    pub addr: SocketAddr,
    /// What it is called; `None` if only its address is known.
    pub id: Option<NodeId>,
    /// How many nodes led to it: 1 for one that we knew before.
    pub depth: u8,
    /// Bits of its distance to the target, 0 to 160; `None` without an id.
    pub distance_bits: Option<u8>,
}

/// One step of a lookup.
#[derive(Clone, Debug, PartialEq)]
pub enum LookupEvent {
    /// A node is asked.
    Queried(Hop),
    /// A node answered.
    Answered {
        /// Which, under the id that it answered with.
        hop: Hop,
        /// How long it took.
        round_trip: Duration,
        /// What it gave.
        gave: Gave,
    },
    /// A node refused.
    Refused {
        /// Which.
        hop: Hop,
        /// See [`code`](crate::krpc::code).
        code: i64,
        /// In its words, fit to be shown.
        text: String,
    },
    /// A node did not answer in time.
    TimedOut(Hop),
    /// Peers that were not reported before.
    Peers {
        /// From whom.
        from: SocketAddr,
        /// Where they are.
        peers: Vec<SocketAddr>,
    },
    /// An immutable item, verified; the lookup ends with it.
    Immutable {
        /// From whom.
        from: SocketAddr,
        /// The item.
        item: ImmutableItem,
    },
    /// A version of a mutable item, verified, that is newer than all before.
    Mutable {
        /// From whom.
        from: SocketAddr,
        /// The item.
        item: MutableItem,
    },
    /// A node's sample of torrents (BEP 51).
    Sample {
        /// From whom.
        from: SocketAddr,
        /// The torrents that were not reported before.
        samples: Vec<InfoHashV1>,
        /// How many the node says that it has.
        num: u64,
        /// For how long asking it again brings nothing new.
        interval: Duration,
    },
    /// A node is asked to store.
    Storing(Hop),
    /// A node says that it stored.
    Stored(Hop),
    /// The lookup is over.
    Done(Outcome),
}

/// What an answer held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gave {
    /// Nodes.
    pub nodes: usize,
    /// Of these, the ones that the lookup did not know.
    pub new_nodes: usize,
    /// Peers.
    pub peers: usize,
    /// A token.
    pub token: bool,
    /// An item, whether or not it is good.
    pub item: bool,
    /// Info-hashes.
    pub samples: usize,
}

/// What came of a lookup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Queries sent, those that store included.
    pub queries: usize,
    /// Answers, refusals not included.
    pub answers: usize,
    /// How many nodes led to the closest one that answered: 1 if we knew it before, 0 if nobody answered.
    pub hops: u8,
    /// The closest nodes that answered, the closest first, for each family.
    pub closest: Vec<Contact>,
    /// Different peers that were found.
    pub peers: usize,
    /// Nodes that stored.
    pub stored: usize,
    /// Nodes that gave the item in its latest version.
    pub copies: usize,
    /// Of a scrape: what it came to.
    pub scrape: Option<Scrape>,
    /// Nothing was done: too many lookups are under way.
    pub busy: bool,
}

/// How many peers a torrent has, about (BEP 33).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scrape {
    /// Peers that have everything.
    pub seeds: f64,
    /// Other peers.
    pub peers: f64,
    /// Nodes that were asked and know of the torrent.
    pub nodes: usize,
}

/// A node in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Of each family: good nodes in the table, and all of them.
    pub nodes: [(usize, usize); 2],
    /// Torrents that peers are stored of.
    pub torrents: usize,
    /// Peers that are stored.
    pub peers: usize,
    /// Items that are stored.
    pub items: usize,
    /// Queries that were answered.
    pub answered: u64,
    /// Queries that were dropped since too many came.
    pub dropped: u64,
    /// Queries that were sent.
    pub queries: u64,
    /// Of these, the ones that were not answered in time.
    pub timeouts: u64,
}

impl Stats {
    /// Good nodes and all nodes of one family.
    pub fn nodes_of(&self, family: Family) -> (usize, usize) {
        self.nodes[family.index()]
    }
}
