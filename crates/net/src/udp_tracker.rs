//! Drives [`tracker::udp::Exchange`] over a socket.

use crate::bind;
use crate::bind::LocalAddrs;
use crate::http::io_text;
use crate::lookup::{Lookup, LookupError, look_up, zone_of};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;
use tracker::Host;
use tracker::udp::{Connection, Exchange, Family, Reply, Request, Retransmit};
use types::{Time, Zone};

/// How many trackers' connection ids are remembered; at the limit those that are over are dropped, then all.
const MAX_CONNECTIONS: usize = 256;

/// How many of a host's addresses are tried, one after the other, when they refuse.
const MAX_ADDRESSES: usize = 3;

/// How long a name may take to be looked up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest packet that is read; what is beyond is peers that we would not take anyway.
const MAX_PACKET: usize = 20 + 18 * tracker::limits::MAX_PEERS;

/// What went wrong. Each is one clear line.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UdpError {
    /// The host's name leads nowhere.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The system says that the tracker cannot be reached.
    #[error("cannot reach the tracker: {0}")]
    Unreachable(String),
    /// The tracker refuses, or is silent.
    #[error(transparent)]
    Tracker(#[from] tracker::Error),
}

/// Asks UDP trackers, each request from a socket of its own.
#[derive(Debug)]
pub struct UdpTrackers {
    epoch: Instant,
    retransmit: Retransmit,
    local: LocalAddrs,
    connections: Mutex<BTreeMap<SocketAddr, Connection>>,
}

impl UdpTrackers {
    /// Asks with these time-outs, from one of `local`.
    pub fn new(retransmit: Retransmit, local: LocalAddrs) -> UdpTrackers {
        UdpTrackers { epoch: Instant::now(), retransmit, local, connections: Mutex::default() }
    }

    /// Makes one request over one address family; it ends within [`Retransmit::total`] and ten seconds for the look-up. A
    /// host at a private address is asked if `may_be_private` says so.
    ///
    /// # Errors
    /// No address of this family, no answer, or the tracker's own refusal.
    pub async fn ask(
        &self,
        host: &Host,
        port: u16,
        family: Family,
        may_be_private: bool,
        request: &Request,
    ) -> Result<Reply, UdpError> {
        let looking = addresses(host, port, family, may_be_private);
        let addrs = tokio::time::timeout(LOOKUP_TIMEOUT, looking).await;
        let addrs = addrs.unwrap_or_else(|_| Err(LookupError::Failed("no name server answers".into())))?;
        let deadline = Instant::now() + self.retransmit.total;
        let mut last = UdpError::from(LookupError::NoneOfFamily);
        for addr in addrs.into_iter().take(MAX_ADDRESSES) {
            let asking = self.ask_addr(addr, request.clone());
            match tokio::time::timeout_at(deadline, asking).await {
                Ok(Ok(outcome)) => return Ok(outcome?),
                Ok(Err(error)) => last = UdpError::Unreachable(io_text(&error)),
                Err(_) => return Err(tracker::Error::NoAnswer.into()),
            }
        }
        Err(last)
    }

    async fn ask_addr(
        &self,
        addr: SocketAddr,
        request: Request,
    ) -> io::Result<Result<Reply, tracker::Error>> {
        let any: IpAddr =
            if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let from = self.local.towards(addr.ip()).unwrap_or(any);
        let socket = bind::udp(SocketAddr::new(from, 0))?;
        // From here on the kernel drops what others send, and tells of a port that is closed.
        socket.connect(addr).await?;
        let known = self.with_connections(|all| all.get(&addr).copied());
        let mut exchange =
            Exchange::new(self.now(), request, Family::from(addr), self.retransmit, known, random_seed());
        let outcome = self.drive(&socket, &mut exchange).await;
        self.with_connections(|all| self.remember(all, addr, exchange.connection()));
        outcome
    }

    async fn drive(
        &self,
        socket: &UdpSocket,
        exchange: &mut Exchange,
    ) -> io::Result<Result<Reply, tracker::Error>> {
        let mut buf = vec![0; MAX_PACKET];
        #[cfg(feature = "planted")]
        let mut transaction = [0; 4];
        loop {
            if let Some(packet) = exchange.poll_transmit() {
                socket.send(&packet).await?;
                #[cfg(feature = "planted")]
                transaction.copy_from_slice(&packet[12..16]);
            }
            if let Some(outcome) = exchange.take_outcome() {
                return Ok(outcome);
            }
            let timeout = self.epoch + exchange.poll_timeout().since(Time::ZERO);
            match tokio::time::timeout_at(timeout, socket.recv(&mut buf)).await {
                Ok(received) => {
                    let len = received?;
                    #[cfg(feature = "planted")]
                    if crate::planted::is("any-answer") {
                        buf[4..8].copy_from_slice(&transaction);
                    }
                    exchange.handle_packet(self.now(), &buf[..len]);
                }
                Err(_) => exchange.handle_timeout(self.now()),
            }
        }
    }

    fn remember(
        &self,
        all: &mut BTreeMap<SocketAddr, Connection>,
        addr: SocketAddr,
        connection: Option<Connection>,
    ) {
        let Some(connection) = connection else {
            all.remove(&addr);
            return;
        };
        if all.len() >= MAX_CONNECTIONS {
            let now = self.now();
            all.retain(|_, connection| !connection.is_expired(now));
        }
        if all.len() >= MAX_CONNECTIONS {
            all.clear();
        }
        all.insert(addr, connection);
    }

    fn with_connections<T>(&self, with: impl FnOnce(&mut BTreeMap<SocketAddr, Connection>) -> T) -> T {
        with(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }
}

/// Where a tracker may be asked: at its public addresses, or at private ones if it has no other and may be at such.
async fn addresses(
    host: &Host,
    port: u16,
    family: Family,
    may_be_private: bool,
) -> Result<Vec<SocketAddr>, LookupError> {
    let addrs = match host {
        Host::Name(name) => look_up(name, port).await?,
        Host::Ip(ip) => vec![SocketAddr::new(ip.to_canonical(), port)],
    };
    let addrs: Vec<_> = addrs.into_iter().filter(|&addr| Family::from(addr) == family).collect();
    let zone = if may_be_private && zone_of(&addrs) == Zone::Private { Zone::Private } else { Zone::Public };
    Lookup { family: Some(family), zone }.keep(addrs)
}

/// Randomness from the system, by way of the standard library's hash keys.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
