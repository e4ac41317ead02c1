//! On which interfaces peers can be neighbours.

use ::lsd::{Family, Subnet};
use if_addrs::{IfAddr, IfOperStatus};
use std::net::{IpAddr, SocketAddr};

/// Interfaces that are used; further ones are passed over.
pub(super) const MAX_INTERFACES: usize = 32;

/// An interface with one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) subnet: Subnet,
}

/// Those that are up and lead to a network of several hosts, or to this one; not a tunnel, at whose other end may be
/// anybody.
pub(super) fn usable(found: &[if_addrs::Interface]) -> Vec<Interface> {
    let up = found.iter().filter(|interface| interface.oper_status == IfOperStatus::Up && !interface.is_p2p);
    let usable = up.filter_map(|interface| {
        let prefix = match &interface.addr {
            IfAddr::V4(v4) => v4.prefixlen,
            IfAddr::V6(v6) => v6.prefixlen,
        };
        let (name, subnet) = (interface.name.clone(), Subnet { ip: interface.ip(), prefix });
        Some(Interface { name, index: interface.index?, subnet })
    });
    usable.collect()
}

/// Where to be in the group, who listens for peers at these addresses: each interface once. An address that is every
/// address is on all interfaces but loopback, and on that if it is all there is.
pub(super) fn choose(usable: &[Interface], listens: &[SocketAddr], family: Family) -> Vec<Interface> {
    let is_v4 = family == Family::V4;
    let listens: Vec<_> = listens.iter().map(SocketAddr::ip).filter(|ip| ip.is_ipv4() == is_v4).collect();
    let usable = || usable.iter().filter(|interface| interface.subnet.ip.is_ipv4() == is_v4);
    let everywhere = listens.iter().any(IpAddr::is_unspecified);
    let is_alone = usable().all(|interface| interface.subnet.ip.is_loopback());
    let mut chosen: Vec<Interface> = Vec::new();
    for interface in usable() {
        let ip = interface.subnet.ip;
        let is_reached = listens.contains(&ip) || everywhere && (is_alone || !ip.is_loopback());
        if is_reached
            && chosen.len() < MAX_INTERFACES
            && chosen.iter().all(|other| other.index != interface.index)
        {
            chosen.push(interface.clone());
        }
    }
    chosen
}
