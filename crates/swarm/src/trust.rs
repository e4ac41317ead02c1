//! Who sent bad data.
//!
//! Every block is attributed to the address that sent it. When a piece fails and one address alone sent all of it,
//! that address is banned. When several did, all are put on parole: each then gets whole pieces to itself, so that
//! the next failure has one author, and the first good piece clears the name. Whoever might be innocent is never
//! banned: blocks of unknown origin (an earlier run, a forgotten address) make a piece nobody's.

use crate::limits::{MAX_BANS, MAX_SUSPECTS};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU32;

/// An address whose conduct is remembered; never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suspect(NonZeroU32);

/// Who sent the blocks of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authors {
    /// Each address once, in order.
    pub(crate) known: Vec<Suspect>,
    /// Some blocks are nobody's.
    pub(crate) unknown: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Trust {
    records: BTreeMap<Suspect, Record>,
    by_addr: BTreeMap<SocketAddr, Suspect>,
    bans: BTreeSet<BanKey>,
    last: u32,
}

#[derive(Debug)]
struct Record {
    addr: SocketAddr,
    connections: u32,
    parole: bool,
}

/// An address is banned whatever its port; but on a loopback address it is the port that tells hosts apart.
type BanKey = (IpAddr, u16);

impl Trust {
    /// A peer connected from `addr`. `None` if there is no room to remember it.
    pub(crate) fn connected(&mut self, addr: SocketAddr) -> Option<Suspect> {
        let suspect = match self.by_addr.get(&addr) {
            Some(&known) => known,
            None => self.remember(addr)?,
        };
        self.records.get_mut(&suspect)?.connections += 1;
        Some(suspect)
    }

    pub(crate) fn closed(&mut self, suspect: Option<Suspect>) {
        if let Some(record) = suspect.and_then(|suspect| self.records.get_mut(&suspect)) {
            record.connections = record.connections.saturating_sub(1);
        }
    }

    pub(crate) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.bans.contains(&ban_key(addr))
    }

    pub(crate) fn banned(&self) -> usize {
        self.bans.len()
    }

    pub(crate) fn on_parole(&self, suspect: Option<Suspect>) -> bool {
        suspect.and_then(|suspect| self.records.get(&suspect)).is_some_and(|record| record.parole)
    }

    /// A good piece clears the one who sent all of it.
    pub(crate) fn piece_verified(&mut self, authors: &Authors) {
        if let Some(record) = authors.sole().and_then(|suspect| self.records.get_mut(&suspect)) {
            record.parole = false;
        }
    }

    /// A bad piece: the address to ban, if there is proof.
    pub(crate) fn piece_failed(&mut self, authors: &Authors) -> Option<SocketAddr> {
        if let Some(guilty) = authors.sole() {
            let addr = self.records.get(&guilty)?.addr;
            if self.bans.len() < MAX_BANS {
                self.bans.insert(ban_key(addr));
            }
            return Some(addr);
        }
        for suspect in &authors.known {
            if let Some(record) = self.records.get_mut(suspect) {
                record.parole = true;
            }
        }
        None
    }

    /// Whether a ban of one of the addresses is a ban of the other.
    pub(crate) fn same_host(a: SocketAddr, b: SocketAddr) -> bool {
        ban_key(a) == ban_key(b)
    }

    fn remember(&mut self, addr: SocketAddr) -> Option<Suspect> {
        if self.records.len() >= MAX_SUSPECTS {
            let idle = self.records.iter().find(|(_, record)| record.connections == 0 && !record.parole);
            let (&oldest, record) = idle?;
            self.by_addr.remove(&record.addr);
            self.records.remove(&oldest);
        }
        self.last = self.last.checked_add(1)?;
        let suspect = Suspect(NonZeroU32::new(self.last)?);
        self.records.insert(suspect, Record { addr, connections: 0, parole: false });
        self.by_addr.insert(addr, suspect);
        Some(suspect)
    }
}

impl Authors {
    /// Of all blocks, from the sender of each.
    pub(crate) fn of(blocks: impl Iterator<Item = Option<Suspect>>) -> Authors {
        let mut authors = Authors { known: Vec::new(), unknown: false };
        for sender in blocks {
            match sender {
                None => authors.unknown = true,
                Some(sender) => {
                    if let Err(at) = authors.known.binary_search(&sender) {
                        authors.known.insert(at, sender);
                    }
                }
            }
        }
        authors
    }

    fn sole(&self) -> Option<Suspect> {
        match self.known[..] {
            [sole] if !self.unknown => Some(sole),
            _ => None,
        }
    }
}

fn ban_key(addr: SocketAddr) -> BanKey {
    let ip = addr.ip().to_canonical();
    (ip, if ip.is_loopback() { addr.port() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u16) -> SocketAddr {
        let [high, low] = n.to_be_bytes();
        SocketAddr::from(([10, 0, high, low], 6881))
    }

    fn authors(senders: &[Option<Suspect>]) -> Authors {
        Authors::of(senders.iter().copied())
    }

    #[test]
    fn one_alone_is_banned_on_every_port() {
        let mut trust = Trust::default();
        let liar = trust.connected(addr(1));
        assert_eq!(trust.piece_failed(&authors(&[liar, liar])), Some(addr(1)));
        assert!(trust.is_banned(SocketAddr::new(addr(1).ip(), 1)));
        assert!(trust.is_banned("[::ffff:10.0.0.1]:9".parse().unwrap()));
        assert!(!trust.is_banned(addr(2)));
    }

    #[test]
    fn on_loopback_the_port_is_the_host() {
        let mut trust = Trust::default();
        let liar = trust.connected("127.0.0.1:1000".parse().unwrap());
        trust.piece_failed(&authors(&[liar]));
        assert!(trust.is_banned("127.0.0.1:1000".parse().unwrap()));
        assert!(!trust.is_banned("127.0.0.1:1001".parse().unwrap()));
    }

    #[test]
    fn several_go_on_parole_and_are_told_apart() {
        let mut trust = Trust::default();
        let (honest, liar) = (trust.connected(addr(1)), trust.connected(addr(2)));
        assert_eq!(trust.piece_failed(&authors(&[honest, liar, honest])), None);
        assert!(trust.on_parole(honest) && trust.on_parole(liar));
        trust.piece_verified(&authors(&[honest, liar]));
        assert!(trust.on_parole(honest), "a shared piece clears nobody");
        trust.piece_verified(&authors(&[honest, honest]));
        assert!(!trust.on_parole(honest) && trust.on_parole(liar));
        trust.closed(liar);
        assert!(trust.on_parole(trust.by_addr.get(&addr(2)).copied()), "leaving does not clear a name");
        assert_eq!(trust.piece_failed(&authors(&[liar])), Some(addr(2)));
    }

    #[test]
    fn blocks_of_unknown_origin_ban_nobody() {
        let mut trust = Trust::default();
        let peer = trust.connected(addr(1));
        assert_eq!(trust.piece_failed(&authors(&[peer, None])), None);
        assert_eq!(trust.piece_failed(&authors(&[None])), None);
        assert_eq!(trust.banned(), 0);
    }

    #[test]
    fn remembers_a_bounded_number() {
        let mut trust = Trust::default();
        let first = trust.connected(addr(0));
        trust.closed(first);
        for n in 1..=u16::try_from(MAX_SUSPECTS).unwrap() {
            assert!(trust.connected(addr(n)).is_some());
        }
        assert_eq!(trust.piece_failed(&authors(&[first])), None, "forgotten, so not banned");
        assert_eq!(trust.connected(addr(9999)), None, "everybody else is connected");
        assert_eq!(trust.records.len(), MAX_SUSPECTS);
        assert_eq!(trust.by_addr.len(), MAX_SUSPECTS);
    }

    #[test]
    fn bans_are_bounded() {
        let mut trust = Trust::default();
        for n in 0..=u16::try_from(MAX_BANS).unwrap() {
            let liar = trust.connected(addr(n));
            assert_eq!(trust.piece_failed(&authors(&[liar])), Some(addr(n)));
            trust.closed(liar);
        }
        assert_eq!(trust.banned(), MAX_BANS);
    }
}
