//! Hosts that no torrent is to deal with.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

/// Those that the user bans, by what tells hosts from each other.
#[derive(Debug, Default)]
pub(crate) struct Bans(RwLock<BTreeSet<IpAddr>>);

impl Bans {
    pub(crate) fn has(&self, addr: IpAddr) -> bool {
        let hosts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !hosts.is_empty() && hosts.contains(&swarm::host(addr).0)
    }

    pub(crate) fn all(&self) -> BTreeSet<IpAddr> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, hosts: BTreeSet<IpAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }
}
