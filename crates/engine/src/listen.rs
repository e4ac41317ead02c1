//! Where peers come in.

use crate::Error;
use crate::meet;
use crate::settings::CUSTOMARY_PORTS;
use crate::shared::{Shared, lock};
use net::bind::tcp_listener;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

/// How many callers may be in their handshake at once, of all listeners together, or fewer where the system allows few
/// open files. One more takes the place of the oldest from whichever host (of
/// IPv6, a /64) has most of them there: whoever holds connections open and says nothing keeps nobody else out.
pub(crate) const MAX_GREETING: usize = 200;

/// How long the listener rests after an accept failed, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens every address that was asked for, or the customary ones.
pub(crate) fn open(asked: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    if asked.is_empty() {
        return customary();
    }
    asked.iter().map(|&addr| listen(addr)).collect()
}

fn listen(addr: SocketAddr) -> Result<TcpListener, Error> {
    tcp_listener(addr).map_err(|err| Error::Listen { addr, reason: err.to_string() })
}

/// Both families on the first customary port that is free; on a machine without IPv6, IPv4 alone.
fn customary() -> Result<Vec<TcpListener>, Error> {
    let mut last = None;
    for port in CUSTOMARY_PORTS.chain([0]) {
        match listen((Ipv4Addr::UNSPECIFIED, port).into()) {
            Ok(v4) => {
                let port = v4.local_addr().map_or(port, |addr| addr.port());
                let v6 = tcp_listener((Ipv6Addr::UNSPECIFIED, port).into()).ok();
                return Ok(std::iter::once(v4).chain(v6).collect());
            }
            Err(err) => last = Some(err),
        }
    }
    Err(last.unwrap_or_else(|| Error::Start("no port to listen on".into())))
}

/// The port of the first address over IPv4, and of the first over IPv6; 0 if there is none.
pub(crate) fn ports(addrs: &[SocketAddr]) -> [u16; 2] {
    let of_family = |is_v4| addrs.iter().find(|addr| addr.is_ipv4() == is_v4).map_or(0, SocketAddr::port);
    [of_family(true), of_family(false)]
}

/// Answers callers until the engine shuts down; listeners share the `callers`.
pub(crate) async fn run(listener: TcpListener, callers: Arc<Mutex<Callers>>, shared: Arc<Shared>) {
    let places = lock(&callers).places.clone();
    loop {
        // Whoever had to make room for the last one is gone.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, addr)) => {
                    let shared = shared.clone();
                    let greeting = async move {
                        meet::caller(&shared, stream, addr).await;
                        drop(place);
                    };
                    lock(&callers).greet(addr.ip(), greeting);
                }
                Err(err) => {
                    tracing::warn!("cannot accept connections: {err}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = shared.closed() => return,
        }
    }
}

/// Callers in their handshake, the oldest first, each with what tells its host from others.
#[derive(Debug)]
pub(crate) struct Callers {
    /// How many there may be.
    most: usize,
    /// As many, and one more for each listener: whose task is aborted still has its socket for a moment.
    places: Arc<Semaphore>,
    open: VecDeque<(IpAddr, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Callers {
    /// None yet, and so many at most, of so many listeners.
    pub(crate) fn new(most: usize, listeners: usize) -> Callers {
        let places = Arc::new(Semaphore::new(most + listeners));
        Callers { most, places, open: VecDeque::new(), tasks: JoinSet::new() }
    }

    /// Starts a handshake, for which another is ended if there are too many.
    fn greet(&mut self, ip: IpAddr, handshake: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|(_, task)| !task.is_finished());
        if self.open.len() >= self.most
            && let Some((_, oldest)) = self.most_crowded().and_then(|at| self.open.remove(at))
        {
            oldest.abort();
        }
        let task = self.tasks.spawn(handshake);
        self.open.push_back((swarm::host(ip).0, task));
    }

    /// Where the oldest is of the host that has most.
    fn most_crowded(&self) -> Option<usize> {
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        self.open.iter().for_each(|(host, _)| *counts.entry(*host).or_default() += 1);
        let (&crowded, _) = counts.iter().max_by_key(|(_, count)| **count)?;
        self.open.iter().position(|(host, _)| *host == crowded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_holds_most_places_makes_room() {
        let [crowd, single] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let mut callers = Callers::new(MAX_GREETING, 1);
        callers.greet(single, std::future::pending());
        (1..MAX_GREETING + 50).for_each(|_| callers.greet(crowd, std::future::pending()));
        assert_eq!(callers.open.len(), MAX_GREETING);
        assert_eq!(callers.open.front().map(|(host, _)| *host), Some(single), "it is the oldest and stays");
        callers.greet(single, std::future::ready(()));
        assert_eq!(callers.open.iter().filter(|(host, _)| *host == single).count(), 2);
    }

    #[test]
    fn each_family_has_its_own_port() {
        let addrs =
            |text: &[&str]| text.iter().map(|addr| addr.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let both = addrs(&["127.0.0.1:1", "127.0.0.2:2", "[::1]:3"]);
        assert_eq!(ports(&both), [1, 3]);
        assert_eq!(ports(&both[2..]), [0, 3]);
    }
}
