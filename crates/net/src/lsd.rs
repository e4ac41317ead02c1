//! Drives a [`Discovery`] over multicast sockets, one for each family (BEP 14).

mod interface;
#[cfg(test)]
mod tests;

use crate::bind;
use ::lsd::limits::MAX_DATAGRAM;
use ::lsd::{Config, Discovery, Family, GROUP_V4, GROUP_V6, Input, Output, Subnet};
use interface::Interface;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;
use types::{InfoHashV1, Time};

/// How often it is looked whether this host is on other networks than before.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Datagrams that are taken in before what is due otherwise gets its turn.
const BATCH: usize = 64;

/// A discovery and its sockets. Whoever owns it calls [`Driver::next`] for as long as peers are to be found.
#[derive(Debug)]
pub struct Driver {
    discovery: Discovery,
    epoch: Instant,
    /// Where peers can connect.
    listens: Vec<SocketAddr>,
    v4: Option<Group>,
    v6: Option<Group>,
    look_at: Instant,
    buffer: Vec<u8>,
}

/// One of the two groups, and where we are in it.
#[derive(Debug)]
struct Group {
    family: Family,
    socket: UdpSocket,
    joined: Vec<Interface>,
}

impl Driver {
    /// Makes ready to announce torrents where `listens` can be reached, and to hear others there: on all local networks
    /// if it is on every address, else on those of its addresses. `None` if there is no port to be had for that: nothing
    /// is wrong then, only that nobody is found this way.
    pub fn open(listens: &[SocketAddr], seed: u64) -> Option<Driver> {
        let open = |family| Some((port(listens, family)?, Group::open(family)?));
        let (v4, v6) = (open(Family::V4), open(Family::V6));
        if v4.is_none() && v6.is_none() {
            return None;
        }
        let (v4_port, v4) = v4.unzip();
        let (v6_port, v6) = v6.unzip();
        let discovery = Discovery::new(Config { v4: v4_port, v6: v6_port }, seed, Time::ZERO);
        #[cfg(feature = "planted")]
        let discovery = {
            let mut discovery = discovery;
            crate::planted::is("one-host-all").then(|| discovery.plant());
            discovery
        };
        let (listens, epoch) = (listens.to_vec(), Instant::now());
        // One byte more shows that a datagram was too long.
        let buffer = vec![0; MAX_DATAGRAM + 1];
        let mut driver = Driver { discovery, epoch, listens, v4, v6, look_at: epoch, buffer };
        driver.look_around();
        Some(driver)
    }

    /// Tells the discovery something; what it wants done is done by [`Driver::next`].
    pub fn input(&mut self, input: Input<'_>) {
        self.discovery.handle(self.now(), input);
    }

    /// Announces and hears until somebody is found: of which torrent, and where it listens. May be dropped and called
    /// again at any time; nothing gets lost but datagrams.
    pub async fn next(&mut self) -> (InfoHashV1, SocketAddr) {
        loop {
            while let Some(output) = self.discovery.poll_output() {
                match output {
                    Output::Send { family: Family::V4, bytes } => send(self.v4.as_ref(), &bytes),
                    Output::Send { family: Family::V6, bytes } => send(self.v6.as_ref(), &bytes),
                    Output::Found { torrent, addr } => return (torrent, addr),
                }
            }
            let due = self.discovery.poll_timeout().map(|at| self.epoch + at.since(Time::ZERO));
            let wake = due.map_or(self.look_at, |due| due.min(self.look_at));
            tokio::select! {
                () = readable(self.v4.as_ref()) => self.receive(Family::V4),
                () = readable(self.v6.as_ref()) => self.receive(Family::V6),
                () = tokio::time::sleep_until(wake) => {
                    if self.look_at <= Instant::now() {
                        self.look_around();
                    }
                    self.discovery.handle_timeout(self.now());
                }
            }
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    fn receive(&mut self, family: Family) {
        let now = self.now();
        let group = if family == Family::V4 { &self.v4 } else { &self.v6 };
        for _ in 0..BATCH {
            let received = group.as_ref().map(|group| group.socket.try_recv_from(&mut self.buffer));
            match received {
                Some(Ok((len, from))) => {
                    self.discovery.handle(now, Input::Datagram { from, bytes: &self.buffer[..len] });
                }
                // What the system tells of datagrams that did not arrive comes as an error of the next one.
                Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }

    /// Joins the groups on interfaces that have come, and believes the networks of those.
    fn look_around(&mut self) {
        self.look_at = Instant::now() + LOOK_INTERVAL;
        let interfaces = match if_addrs::get_if_addrs() {
            Ok(found) => interface::usable(&found),
            Err(error) => return tracing::debug!(%error, "no interfaces for local service discovery"),
        };
        let mut networks: Vec<Subnet> = Vec::new();
        for group in [&mut self.v4, &mut self.v6].into_iter().flatten() {
            group.move_to(&interface::choose(&interfaces, &self.listens, group.family));
            let is_joined = |index| group.joined.iter().any(|joined| joined.index == index);
            let near = interfaces.iter().filter(|interface| is_joined(interface.index));
            networks.extend(near.map(|interface| interface.subnet));
        }
        if networks.is_empty() {
            tracing::debug!("no interface for local service discovery");
        }
        self.input(Input::Networks(&networks));
    }
}

/// Where we listen for peers of a family; the first port counts.
fn port(listens: &[SocketAddr], family: Family) -> Option<NonZeroU16> {
    let of_family = listens.iter().find(|addr| addr.is_ipv4() == (family == Family::V4));
    of_family.and_then(|addr| NonZeroU16::new(addr.port()))
}

/// Waits until something can be read; for ever without a group.
async fn readable(group: Option<&Group>) {
    match group {
        // A socket that fails will be ready again: nothing is lost but what it would have carried.
        Some(group) => _ = group.socket.readable().await,
        None => std::future::pending().await,
    }
}

/// Through every interface; where it does not get through, it is lost.
fn send(group: Option<&Group>, bytes: &[u8]) {
    let Some(group) = group else { return };
    for interface in &group.joined {
        if let Err(error) = group.send(interface, bytes) {
            tracing::debug!(%error, interface = interface.name, "not announced at {}", group.family.group());
        }
    }
}

impl Group {
    fn open(family: Family) -> Option<Group> {
        match bind::multicast(family.group()) {
            Ok(socket) => Some(Group { family, socket, joined: Vec::new() }),
            Err(error) => {
                tracing::debug!(%error, "no local service discovery at {}", family.group());
                None
            }
        }
    }

    /// Is from now on in the group on these interfaces.
    fn move_to(&mut self, chosen: &[Interface]) {
        let socket = SockRef::from(&self.socket);
        self.joined.retain(|joined| {
            let stays = chosen.contains(joined);
            if !stays {
                // The system has mostly forgotten it already.
                let _ = leave(&socket, joined);
            }
            stays
        });
        for new in chosen {
            if self.joined.contains(new) {
                continue;
            }
            match join(&socket, new) {
                Ok(()) => self.joined.push(new.clone()),
                Err(error) => {
                    tracing::debug!(%error, interface = new.name, "cannot join {}", self.family.group());
                }
            }
        }
    }

    fn send(&self, through: &Interface, bytes: &[u8]) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        match through.subnet.ip {
            IpAddr::V4(ip) => socket.set_multicast_if_v4(&ip)?,
            IpAddr::V6(_) => socket.set_multicast_if_v6(through.index)?,
        }
        socket.send_to(bytes, &self.family.group().into()).map(drop)
    }
}

fn join(socket: &SockRef<'_>, on: &Interface) -> io::Result<()> {
    match on.subnet.ip {
        IpAddr::V4(ip) => socket.join_multicast_v4(GROUP_V4.ip(), &ip),
        IpAddr::V6(_) => socket.join_multicast_v6(GROUP_V6.ip(), on.index),
    }
}

fn leave(socket: &SockRef<'_>, on: &Interface) -> io::Result<()> {
    match on.subnet.ip {
        IpAddr::V4(ip) => socket.leave_multicast_v4(GROUP_V4.ip(), &ip),
        IpAddr::V6(_) => socket.leave_multicast_v6(GROUP_V6.ip(), on.index),
    }
}
