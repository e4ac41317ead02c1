//! Magnet links: a torrent's name, and hints where to find the rest of it (BEP 9, 53).
//!
//! What names the torrent must be right, or the link is refused. Hints that cannot be read are passed over, as other
//! clients do, since whoever passed the link on may have spoiled one of them.

mod parse;
mod print;

use crate::Metainfo;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use types::InfoHash;

/// The longest link in bytes; a longer one is an error.
pub const MAX_LINK_LEN: usize = 64 * 1024;
/// The most trackers, web seeds, peers and DHT nodes, of each; those beyond are passed over.
pub const MAX_HINTS: usize = 100;
/// The greatest file number that `so` may name; greater ones are passed over.
pub const MAX_SELECTED_FILE: u32 = 999_999;

/// A magnet link that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// `xt`: the torrent's name on the network.
    pub info_hash: InfoHash,
    /// `dn`: what to call it until its metadata is there. A stranger's words: not fit for file systems or terminals.
    pub name: Option<String>,
    /// `tr`, each once, in order.
    pub trackers: Vec<String>,
    /// `ws`: web seeds (BEP 19), each once.
    pub web_seeds: Vec<String>,
    /// `x.pe`: peers, each once.
    pub peers: Vec<HostPort>,
    /// `dht`: DHT nodes, each once. Not in any BEP, but customary.
    pub dht_nodes: Vec<HostPort>,
    /// `so`: numbers of the files that are wanted (BEP 53), as ranges in order that do not touch. `None`: all are. An `so`
    /// that names none wants none; one that is no list of numbers is passed over.
    pub select_only: Option<Vec<RangeInclusive<u32>>>,
}

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name to be looked up, or an address.
    pub host: Host,
    /// Not 0.
    pub port: u16,
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A host name: letters, digits, dots, hyphens and underscores.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// Why a link cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetError {
    /// Not `magnet:?`.
    #[error("this is no magnet link: it does not begin with magnet:?")]
    NotAMagnet,
    /// Longer than [`MAX_LINK_LEN`].
    #[error("the magnet link is longer than {MAX_LINK_LEN} bytes")]
    TooLong,
    /// A `%` in a topic that is not followed by two hex digits.
    #[error("the magnet link is damaged: a % in `xt` is not followed by two hex digits")]
    BadEscape,
    /// No topic that names a torrent.
    #[error("the magnet link names no torrent: it has no xt=urn:btih: or xt=urn:btmh:")]
    NoTorrent,
    /// A v1 hash that is neither 40 hex digits nor 32 of base32.
    #[error("the magnet link's btih is not a hash (40 hex digits or 32 letters and digits of base32)")]
    BadBtih,
    /// A v2 hash that is not the multihash of a SHA-256.
    #[error("the magnet link's btmh is not a SHA-256 hash (1220 and 64 hex digits)")]
    BadBtmh,
    /// Two v1 or two v2 hashes that differ.
    #[error("the magnet link names two different torrents; give a link for each")]
    TwoTorrents,
}

impl Magnet {
    /// Reads a link.
    ///
    /// # Errors
    /// See [`MagnetError`]; only what names the torrent, and escapes that are broken, can be wrong.
    pub fn parse(link: impl AsRef<[u8]>) -> Result<Magnet, MagnetError> {
        parse::parse(link.as_ref())
    }

    /// A link that names a torrent and nothing else.
    pub fn new(info_hash: InfoHash) -> Magnet {
        Magnet {
            info_hash,
            name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            dht_nodes: Vec::new(),
            select_only: None,
        }
    }

    /// Whether `so` wants a file.
    pub fn selects(&self, file: usize) -> bool {
        self.select_only.as_ref().is_none_or(|ranges| {
            u32::try_from(file).is_ok_and(|file| ranges.iter().any(|range| range.contains(&file)))
        })
    }

    /// Whether this is the info dictionary that the link names: all of its hashes are those of the link.
    pub fn names(&self, info: &[u8]) -> bool {
        self.info_hash.v1().is_none_or(|v1| hash::sha1(info) == v1.0)
            && self.info_hash.v2().is_none_or(|v2| hash::sha256(info) == v2.0)
    }

    /// The torrent file that an info dictionary and the link's trackers, DHT nodes and web seeds make. The dictionary is
    /// copied as it is: what is none makes a file that [`Metainfo::parse`] refuses.
    pub fn torrent_file(&self, info: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(info.len() + 1024);
        out.push(b'd');
        if let [first, ..] = self.trackers.as_slice() {
            put(&mut out, "8:announce", &string(first));
        }
        if self.trackers.len() > 1 {
            let tiers = bencode::encode_list(|tiers| {
                self.trackers.iter().for_each(|tracker| tiers.list(|tier| tier.bytes(tracker)));
            });
            put(&mut out, "13:announce-list", &tiers);
        }
        put(&mut out, "4:info", info);
        if !self.dht_nodes.is_empty() {
            let nodes = bencode::encode_list(|nodes| {
                for HostPort { host, port } in &self.dht_nodes {
                    nodes.list(|node| {
                        match host {
                            Host::Name(name) => node.bytes(name),
                            Host::Ip(ip) => node.bytes(format!("{ip}")),
                        }
                        node.int(*port);
                    });
                }
            });
            put(&mut out, "5:nodes", &nodes);
        }
        if !self.web_seeds.is_empty() {
            let urls = bencode::encode_list(|urls| self.web_seeds.iter().for_each(|url| urls.bytes(url)));
            put(&mut out, "8:url-list", &urls);
        }
        out.push(b'e');
        out
    }
}

/// Appends an entry of a dictionary, whose keys come in order.
fn put(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(value);
}

fn string(text: &str) -> Vec<u8> {
    format!("{}:{text}", text.len()).into_bytes()
}

impl From<&Metainfo> for Magnet {
    /// The link that names a torrent, with its trackers (BEP 12's tiers one after the other), web seeds and, unless it is
    /// private, DHT nodes.
    fn from(torrent: &Metainfo) -> Magnet {
        Magnet {
            name: Some(torrent.name().into()),
            trackers: torrent.trackers().concat(),
            web_seeds: torrent.web_seeds().to_vec(),
            dht_nodes: dht_nodes(torrent),
            ..Magnet::new(torrent.info_hash())
        }
    }
}

/// Those that a link can name, each once, at most [`MAX_HINTS`]; none of a private torrent (BEP 27).
fn dht_nodes(torrent: &Metainfo) -> Vec<HostPort> {
    let mut nodes = Vec::new();
    let named = torrent.dht_nodes().iter().filter(|_| !torrent.is_private());
    for node in named.filter_map(|(host, port)| HostPort::new(host, *port)) {
        if nodes.len() < MAX_HINTS && !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    nodes
}

impl HostPort {
    /// A name, or an address without brackets; `None` for what is neither, and for port 0.
    pub fn new(host: &str, port: u16) -> Option<HostPort> {
        let host = host.parse().map(Host::Ip).ok().or_else(|| parse::host_name(host))?;
        (port != 0).then_some(HostPort { host, port })
    }

    /// The address, if no name has to be looked up.
    pub fn addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}
