//! The extension handshake (BEP 10).

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a peer tells about itself after the handshake. Everything may be absent; a later one adds to the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The number that each extension's messages to this peer must carry; 0 switches the extension off.
    pub m: BTreeMap<String, u8>,
    /// `v`: the client's name and version.
    pub client: Option<String>,
    /// `p`: the TCP port on which the peer listens.
    pub port: Option<u16>,
    /// How many requests the peer queues without dropping any.
    pub reqq: Option<u32>,
    /// The address of the receiver as the peer sees it.
    pub yourip: Option<IpAddr>,
    /// An IPv4 address of the peer.
    pub ipv4: Option<Ipv4Addr>,
    /// An IPv6 address of the peer.
    pub ipv6: Option<Ipv6Addr>,
    /// The length of the info dictionary in bytes (BEP 9).
    pub metadata_size: Option<u32>,
    /// Whether the peer wants nothing, though it may not have every piece (BEP 21).
    pub upload_only: bool,
}

impl Handshake {
    /// The number that messages of an extension must carry, if the peer speaks it.
    pub fn id_of(&self, extension: &str) -> Option<u8> {
        self.m.get(extension).copied().filter(|&id| id != 0)
    }
}
