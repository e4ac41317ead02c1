//! What is there instead of each address and name.

use crate::frame::{Name, Settings};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use wire::ext::{self, METADATA_PIECE_LEN};

/// What stands in place of what a peer calls itself: texts can spell an address in more ways than can be looked for.
const CLIENT: &str = "(client)";

/// Names of extensions that say nothing of who knows them.
const EXTENSIONS: [&str; 9] = [
    ext::UT_METADATA,
    ext::UT_PEX,
    ext::UT_HOLEPUNCH,
    ext::LT_DONTHAVE,
    "lt_tex",
    "share_mode",
    "upload_only",
    "ut_comment",
    "ut_recommend",
];

/// Who said something: what we call ourselves is in every client like this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    Theirs,
}

/// Every address, peer id and piece of metadata of a recording.
#[derive(Debug, Default)]
pub(super) struct Seen {
    v4: BTreeSet<[u8; 4]>,
    v6: BTreeSet<[u8; 16]>,
    ids: BTreeSet<[u8; 20]>,
    /// As peers sent them, right or not.
    pieces: BTreeSet<Vec<u8>>,
    /// Those that are right, in order.
    metadata: Option<Vec<u8>>,
}

/// What each becomes.
#[derive(Debug)]
pub(super) struct Names {
    v4: BTreeMap<[u8; 4], [u8; 4]>,
    v6: BTreeMap<[u8; 16], [u8; 16]>,
    ids: BTreeMap<[u8; 20], [u8; 20]>,
    /// Pieces of metadata, and what stands in their place.
    pieces: BTreeMap<Vec<u8>, u64>,
    /// The hashes of the metadata, and of what stands in its place.
    found: Option<[Hashes; 2]>,
    /// If there is no metadata.
    info_hash: [u8; 20],
}

/// Both info-hashes of an info dictionary.
#[derive(Clone, Copy, Debug)]
struct Hashes {
    v1: [u8; 20],
    v2: [u8; 32],
}

impl Hashes {
    fn of(info: &[u8]) -> Hashes {
        Hashes { v1: hash::sha1(info), v2: hash::sha256(info) }
    }
}

/// As v2 hashes go over the wire.
fn truncated(v2: [u8; 32]) -> [u8; 20] {
    let mut short = [0; 20];
    short.copy_from_slice(&v2[..20]);
    short
}

/// The numbers that extensions have in messages one way; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pex: u8,
    holepunch: u8,
    metadata: u8,
    dont_have: u8,
}

impl Extensions {
    /// As an extension handshake tells them.
    pub(super) fn told(payload: &[u8]) -> Option<Extensions> {
        let told = ext::Handshake::decode(payload).ok()?;
        let id = |name| told.id_of(name).unwrap_or(0);
        Some(Extensions {
            pex: id(ext::UT_PEX),
            holepunch: id(ext::UT_HOLEPUNCH),
            metadata: id(ext::UT_METADATA),
            dont_have: id(ext::LT_DONTHAVE),
        })
    }

    pub(super) fn is_pex(self, id: u8) -> bool {
        id != 0 && id == self.pex
    }

    pub(super) fn is_metadata(self, id: u8) -> bool {
        id != 0 && id == self.metadata
    }

    pub(super) fn is_holepunch(self, id: u8) -> bool {
        id != 0 && id == self.holepunch
    }
}

/// An address that stands for somebody.
enum Somebody {
    V4([u8; 4]),
    V6([u8; 16]),
}

/// `None`: it stands for nobody, or for this machine.
fn somebody(ip: IpAddr) -> Option<Somebody> {
    let canonical = ip.to_canonical();
    if canonical.is_loopback() || canonical.is_unspecified() || canonical.is_multicast() {
        return None;
    }
    Some(match canonical {
        IpAddr::V4(ip) => Somebody::V4(ip.octets()),
        IpAddr::V6(ip) => Somebody::V6(ip.octets()),
    })
}

impl Seen {
    pub(super) fn ip(&mut self, ip: IpAddr) {
        match somebody(ip) {
            Some(Somebody::V4(ip)) => drop(self.v4.insert(ip)),
            Some(Somebody::V6(ip)) => drop(self.v6.insert(ip)),
            None => {}
        }
    }

    pub(super) fn id(&mut self, id: [u8; 20]) {
        self.ids.insert(id);
    }

    pub(super) fn piece(&mut self, piece: &[u8]) {
        if !self.pieces.contains(piece) {
            self.pieces.insert(piece.to_vec());
        }
    }

    pub(super) fn found(&mut self, metadata: Vec<u8>) {
        self.metadata = Some(metadata);
    }
}

/// Numbers that look random.
struct Chance(u64);

impl Chance {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// So many numbers below `end`, each greater than the one before; `None` if there are not so many.
    fn ascending(&mut self, count: usize, end: u64) -> Option<Vec<u64>> {
        let gap = end / u64::try_from(count.max(1)).ok()?;
        let mut last = 0;
        let next = |_| {
            last += 1 + self.next() % gap;
            last - 1
        };
        (gap > 0).then(|| (0..count).map(next).collect())
    }
}

impl Names {
    /// `None`: there are more networks than there are others for.
    pub(super) fn new(seen: &Seen, salt: u64) -> Option<Names> {
        let mut chance = Chance(salt);
        let mut v4 = BTreeMap::new();
        let nets: BTreeSet<[u8; 3]> = seen.v4.iter().map(|&[a, b, c, _]| [a, b, c]).collect();
        for (net, other) in nets.iter().zip(chance.ascending(nets.len(), 1 << 16)?) {
            let [.., b, c] = other.to_be_bytes();
            let [first, last] = [0, u8::MAX].map(|host| [net[0], net[1], net[2], host]);
            let hosts: Vec<_> = seen.v4.range(first..=last).collect();
            for (host, d) in hosts.iter().zip(chance.ascending(hosts.len(), 1 << 8)?) {
                v4.insert(**host, [10, b, c, u8::try_from(d).ok()?]);
            }
        }
        let mut v6 = BTreeMap::new();
        let nets: BTreeSet<u128> = seen.v6.iter().map(|ip| u128::from_be_bytes(*ip) >> 64 << 64).collect();
        for (net, other) in nets.iter().zip(chance.ascending(nets.len(), 1 << 56)?) {
            let (first, last) = (net.to_be_bytes(), (net | u128::from(u64::MAX)).to_be_bytes());
            let hosts: Vec<_> = seen.v6.range(first..=last).collect();
            for (host, low) in hosts.iter().zip(chance.ascending(hosts.len(), 1 << 60)?) {
                let whole = u128::from(0xfd << 56 | other) << 64 | u128::from(low);
                v6.insert(**host, whole.to_be_bytes());
            }
        }
        let mut ids = BTreeMap::new();
        for (number, id) in (0u32..).zip(&seen.ids) {
            let mut other = *id;
            // The first eight bytes tell the client.
            other[8..12].copy_from_slice(&number.to_be_bytes());
            other[12..].copy_from_slice(&chance.next().to_be_bytes());
            ids.insert(*id, other);
        }
        let mut info_hash = [0; 20];
        info_hash
            .chunks_mut(8)
            .for_each(|part| part.copy_from_slice(&chance.next().to_be_bytes()[..part.len()]));
        let pieces = seen.pieces.iter().cloned().zip(1..).collect();
        let mut names = Names { v4, v6, ids, pieces, found: None, info_hash };
        if let Some(metadata) = &seen.metadata {
            let other: Vec<u8> =
                metadata.chunks(METADATA_PIECE_LEN as usize).flat_map(|piece| names.piece(piece)).collect();
            names.found = Some([Hashes::of(metadata), Hashes::of(&other)]);
        }
        Some(names)
    }

    pub(super) fn addresses(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub(super) fn ip(&self, ip: IpAddr) -> IpAddr {
        match somebody(ip) {
            None => ip,
            Some(Somebody::V6(seen)) => {
                Ipv6Addr::from(self.v6.get(&seen).copied().unwrap_or_default()).into()
            }
            Some(Somebody::V4(seen)) => {
                let other = Ipv4Addr::from(self.v4.get(&seen).copied().unwrap_or_default());
                // The same spelling.
                if ip.is_ipv4() { other.into() } else { other.to_ipv6_mapped().into() }
            }
        }
    }

    pub(super) fn addr(&self, mut addr: SocketAddr) -> SocketAddr {
        addr.set_ip(self.ip(addr.ip()));
        addr
    }

    pub(super) fn id(&self, id: [u8; 20]) -> [u8; 20] {
        self.ids.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn settings(&self, settings: &mut Settings) {
        settings.peer_id = self.id(settings.peer_id);
        settings.info_hash = self.wire(settings.info_hash);
        settings.external.iter_mut().for_each(|ip| *ip = self.ip(*ip));
    }

    /// A torrent's name on the network.
    fn wire(&self, info_hash: [u8; 20]) -> [u8; 20] {
        match self.found {
            Some([known, other]) if known.v1 == info_hash => other.v1,
            Some([known, other]) if truncated(known.v2) == info_hash => truncated(other.v2),
            _ => self.info_hash,
        }
    }

    pub(super) fn torrent(&self, name: Name) -> Name {
        let v2 = self.found.map_or_else(
            || {
                let mut v2 = [0; 32];
                v2[..20].copy_from_slice(&self.info_hash);
                v2
            },
            |[_, other]| other.v2,
        );
        match name {
            Name::V1(v1) => Name::V1(self.wire(v1)),
            Name::V2(_) => Name::V2(v2),
            Name::Hybrid(v1, _) => Name::Hybrid(self.wire(v1), v2),
        }
    }

    /// What stands in place of a piece of metadata.
    fn piece(&self, piece: &[u8]) -> Vec<u8> {
        let number = self.pieces.get(piece).copied().unwrap_or(0);
        number.to_le_bytes().into_iter().cycle().take(piece.len()).collect()
    }

    /// The payload of an extension message. Of what can't be read, or is not known, only the length is kept.
    pub(super) fn payload(&self, whose: Whose, id: u8, payload: &[u8], ids: Extensions) -> Vec<u8> {
        self.known_payload(whose, id, payload, ids).unwrap_or_else(|| vec![0; payload.len()])
    }

    fn known_payload(&self, whose: Whose, id: u8, payload: &[u8], ids: Extensions) -> Option<Vec<u8>> {
        if id == 0 {
            let mut told = ext::Handshake::decode(payload).ok()?;
            told.yourip = told.yourip.map(|ip| self.ip(ip));
            told.ipv4 = told.ipv4.map(|ip| match self.ip(ip.into()) {
                IpAddr::V4(ip) => ip,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            });
            told.ipv6 = told.ipv6.map(|ip| match self.ip(ip.into()) {
                IpAddr::V6(ip) => ip,
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            });
            if whose == Whose::Theirs {
                told.client = told.client.map(|_| CLIENT.into());
                told.m = (0..).zip(core::mem::take(&mut told.m)).map(known_name).collect();
            }
            return Some(told.encode());
        }
        if ids.is_pex(id) {
            let mut told = ext::Pex::decode(payload).ok()?;
            told.added.iter_mut().for_each(|peer| peer.addr = self.addr(peer.addr));
            told.dropped.iter_mut().for_each(|addr| *addr = self.addr(*addr));
            return Some(told.encode());
        }
        if ids.is_holepunch(id) {
            let told = ext::Holepunch::decode(payload).ok()?;
            return Some(ext::Holepunch { addr: self.addr(told.addr), ..told }.encode());
        }
        if id == ids.metadata {
            return match ext::Metadata::decode(payload).ok()?? {
                ext::Metadata::Data { piece, total_size, data } => {
                    let data = self.piece(&data).into();
                    Some(ext::Metadata::Data { piece, total_size, data }.encode())
                }
                known @ (ext::Metadata::Request { .. } | ext::Metadata::Reject { .. }) => {
                    Some(known.encode())
                }
            };
        }
        let is_known = id == ids.dont_have && ext::DontHave::decode(payload).is_ok();
        is_known.then(|| payload.to_vec())
    }
}

/// A name of an extension, or what stands in its place if it is not one that many clients know.
fn known_name((number, (name, id)): (u32, (String, u8))) -> (String, u8) {
    match EXTENSIONS.contains(&&*name) {
        true => (name, id),
        false => (format!("unknown {number}"), id),
    }
}
