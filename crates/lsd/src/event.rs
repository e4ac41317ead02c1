//! What a discovery is told and what it wants done.

use crate::{Family, Subnet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::num::NonZeroU16;
use types::InfoHashV1;

/// Where peers can connect to us; of a family without a port nothing is announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The TCP port over IPv4.
    pub v4: Option<NonZeroU16>,
    /// The TCP port over IPv6.
    pub v6: Option<NonZeroU16>,
}

impl Config {
    pub(crate) fn port(&self, family: Family) -> Option<NonZeroU16> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// The part that a torrent takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub(crate) announces: bool,
}

impl Part {
    /// What a torrent may do, by whether it is private (BEP 27). A private one takes no part at all: `None`. As long as
    /// it is not known, the metadata still being fetched, nobody is told of the torrent, but others may be heard of it.
    pub fn of(private: Option<bool>) -> Option<Part> {
        match private {
            Some(true) => None,
            Some(false) => Some(Part { announces: true }),
            None => Some(Part { announces: false }),
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A torrent takes part, or another part than before.
    Join {
        /// The name by which peers ask for it.
        torrent: InfoHashV1,
        /// Which part.
        part: Part,
    },
    /// A torrent takes no part any more.
    Leave {
        /// Which.
        torrent: InfoHashV1,
    },
    /// These are the networks that this host is on, in place of those that were told before. What comes from elsewhere
    /// is believed only if it comes from a private address. On a new one torrents are announced soon.
    Networks(&'a [Subnet]),
    /// Something came to one of the groups.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// What.
        bytes: &'a [u8],
    },
}

/// What the driver is to do. After each input, take outputs until there are none: they are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to a group, through every interface over which peers can reach us.
    Send {
        /// Which.
        family: Family,
        /// What.
        bytes: Vec<u8>,
    },
    /// Somebody on the local network says that it is a peer.
    Found {
        /// Of which torrent.
        torrent: InfoHashV1,
        /// Where it listens. A link-local IPv6 address has its scope.
        addr: SocketAddr,
    },
}
