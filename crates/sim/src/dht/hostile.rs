//! Nodes that stand around a torrent's name: they answer everybody, name each other, take every announce and give no
//! peer away.

use dht::krpc::{Body, Method, Packet, decode, parse};
use dht::{Contact, NodeId};
use fastrand::Rng;
use std::net::{IpAddr, SocketAddr};

/// Leading bits that their ids have in common with the name: more than any honest node's.
const COMMON_BITS: usize = 40;

/// As many as an answer names.
const NAMED: usize = 8;

pub(super) struct Hostile {
    pub(super) target: NodeId,
    nodes: Vec<Contact>,
}

impl Hostile {
    /// So many, on the addresses of one /24.
    pub(super) fn new(count: usize, target: NodeId, net: [u8; 3], rng: &mut Rng) -> Hostile {
        let [a, b, c] = net;
        let one = |n: usize| {
            let (host, port) = (u8::try_from(n % 256).unwrap_or(0), u16::try_from(n / 256).unwrap_or(0));
            let addr = SocketAddr::from(([a, b, c, host], 6881 + port % 1000));
            Contact { id: target.random_at(COMMON_BITS + rng.usize(0..20), rng), addr }
        };
        Hostile { target, nodes: (0..count).map(one).collect() }
    }

    pub(super) fn nodes(&self) -> &[Contact] {
        &self.nodes
    }

    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        let is_in_net = |node: &Contact| match (node.addr.ip(), ip) {
            (IpAddr::V4(ours), IpAddr::V4(ip)) => ours.octets()[..3] == ip.octets()[..3],
            _ => false,
        };
        self.nodes.first().is_some_and(is_in_net)
    }

    /// With what a node makes itself known.
    pub(super) fn greeting(&self, node: &Contact) -> Vec<u8> {
        bencode::encode_dict(|d| {
            d.dict("a", |a| {
                a.bytes("id", node.id.0);
                a.bytes("target", self.target.0);
            });
            d.bytes("q", "find_node");
            d.bytes("t", "hi");
            d.bytes("y", "q");
        })
    }

    /// What the node says to a query; nothing to anything else.
    pub(super) fn answer(&self, at: usize, datagram: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
        let document = decode(datagram).ok()?;
        let Packet { transaction, body: Body::Query(query), .. } = parse(&document).ok()? else {
            return None;
        };
        let names = !matches!(query.method, Method::Ping | Method::AnnouncePeer { .. } | Method::Put(_));
        let mut nodes = Vec::new();
        for _ in 0..if names { NAMED } else { 0 } {
            let Contact { id, addr } = self.nodes[rng.usize(0..self.nodes.len())];
            nodes.extend_from_slice(&id.0);
            if let IpAddr::V4(ip) = addr.ip() {
                nodes.extend_from_slice(&ip.octets());
            }
            nodes.extend_from_slice(&addr.port().to_be_bytes());
        }
        Some(bencode::encode_dict(|d| {
            d.dict("r", |r| {
                r.bytes("id", self.nodes[at].id.0);
                r.bytes("nodes", nodes);
                r.bytes("token", "token");
            });
            d.bytes("t", transaction);
            d.bytes("y", "r");
        }))
    }
}
