//! Where host names lead, for those who dial: to addresses of one [`Zone`], which are checked and dialled in one go, so that
//! a name which is looked up to be something else the next time changes nothing.

use crate::bind;
use crate::http::io_text;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tracker::udp::Family;
use types::Zone;

/// Why a host name gives no address to talk to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LookupError {
    /// The name is not known, or no name server answers.
    #[error("cannot find the host: {0}")]
    Failed(String),
    /// There are addresses, but none of the family that was asked for.
    #[error("the host has no address of this family")]
    NoneOfFamily,
    /// The name leads only into private networks, or to this machine.
    #[error("the host is at a private address")]
    NotPublic,
    /// The name leads only to what nobody may name ([`Zone::Forbidden`]).
    #[error("the host's address is one that must not be asked")]
    Forbidden,
    /// The name led into a private network a moment ago, and now it does not.
    #[error("the host's address has just changed")]
    Changed,
}

/// Looks up names for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    /// Only addresses of this family; of either, if `None`.
    pub(crate) family: Option<Family>,
    /// Only addresses of this zone.
    pub(crate) zone: Zone,
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = *self;
        Box::pin(async move {
            let addrs = lookup.keep(look_up(name.as_str(), 0).await?)?;
            Ok(Box::new(addrs.into_iter()) as Addrs)
        })
    }
}

impl Lookup {
    /// Those of a host's addresses that may be dialled. A host that has public ones is public.
    pub(crate) fn keep(self, mut addrs: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, LookupError> {
        addrs.retain(|addr| self.family.is_none_or(|family| Family::from(*addr) == family));
        if addrs.is_empty() {
            return Err(LookupError::NoneOfFamily);
        }
        let wanted = zone_of(&addrs);
        match (wanted == self.zone, wanted) {
            (_, Zone::Forbidden) => Err(LookupError::Forbidden),
            (false, Zone::Private) => Err(LookupError::NotPublic),
            (false, Zone::Public) => Err(LookupError::Changed),
            (true, _) => {
                addrs.retain(|addr| zone(addr.ip()) == wanted);
                Ok(addrs)
            }
        }
    }
}

/// The zone of an address.
pub(crate) fn zone(ip: IpAddr) -> Zone {
    #[cfg(feature = "planted")]
    if crate::planted::is("no-zones") {
        return Zone::Public;
    }
    #[cfg(test)]
    if world::is_public(ip) {
        return Zone::Public;
    }
    Zone::of(ip)
}

/// The zone of a host with these addresses.
pub(crate) fn zone_of(addrs: &[SocketAddr]) -> Zone {
    addrs.iter().map(|addr| zone(addr.ip())).min().unwrap_or(Zone::Forbidden)
}

/// All addresses of a host.
pub(crate) async fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
    #[cfg(test)]
    if let Some(addrs) = world::look_up(name) {
        if addrs.is_empty() {
            return std::future::pending().await;
        }
        return Ok(addrs.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
    }
    bind::look_up((name, port)).await.map_err(|error| LookupError::Failed(lookup_text(&error)))
}

/// `failed to lookup address information: Name or service not known`, without its first half.
fn lookup_text(error: &io::Error) -> String {
    let text = io_text(error);
    text.rsplit(": ").next().unwrap_or_default().to_lowercase()
}

/// The world of tests, which is on loopback as a whole.
#[cfg(test)]
pub(crate) mod world {
    use std::collections::{BTreeMap, VecDeque};
    use std::net::IpAddr;
    use std::sync::Mutex;

    /// Part of loopback that stands for the public internet.
    pub(crate) const PUBLIC: &str = "127.99.0.1";
    /// Names, and what they lead to: at first, the next time, and so on.
    static NAMES: Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>> = Mutex::new(BTreeMap::new());

    pub(super) fn is_public(ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(v4) if v4.octets()[..2] == [127, 99])
    }

    /// Gives a name that nobody else has to lists of addresses. The last one stays; to look up an empty one never ends.
    pub(crate) fn name(name: &str, answers: &[&str]) {
        let answers =
            answers.iter().map(|ips| ips.split_whitespace().map(|ip| ip.parse().unwrap()).collect());
        NAMES.lock().unwrap().insert(name.into(), answers.collect());
    }

    pub(super) fn look_up(name: &str) -> Option<Vec<IpAddr>> {
        let mut names = NAMES.lock().unwrap();
        let answers = names.get_mut(name)?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(zone: Zone, family: Option<Family>, addrs: &[&str]) -> Result<Vec<String>, String> {
        let addrs = addrs.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect();
        let kept = Lookup { family, zone }.keep(addrs).map_err(|error| error.to_string())?;
        Ok(kept.iter().map(|addr| addr.ip().to_string()).collect())
    }

    #[test]
    fn only_the_zone_is_dialled() {
        let (public, private) = (Zone::Public, Zone::Private);
        let mixed = ["10.0.0.1", "1.1.1.1", "169.254.169.254", "2a00::1"];
        assert_eq!(keep(public, None, &mixed).unwrap(), ["1.1.1.1", "2a00::1"]);
        assert_eq!(keep(public, Some(Family::V6), &mixed).unwrap(), ["2a00::1"]);
        assert_eq!(keep(private, None, &mixed).unwrap_err(), "the host's address has just changed");
        let inside = ["10.0.0.1", "169.254.169.254", "::1"];
        assert_eq!(keep(private, None, &inside).unwrap(), ["10.0.0.1", "::1"]);
        assert_eq!(keep(public, None, &inside).unwrap_err(), "the host is at a private address");
        for zone in [public, private] {
            let metadata = ["169.254.169.254", "fd00:ec2::254", "64:ff9b::6464:64c8"];
            let error = keep(zone, None, &metadata).unwrap_err();
            assert_eq!(error, "the host's address is one that must not be asked");
            let error = keep(zone, Some(Family::V6), &["1.1.1.1"]).unwrap_err();
            assert_eq!(error, "the host has no address of this family");
        }
    }
}
