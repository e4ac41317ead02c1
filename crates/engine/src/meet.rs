//! From an address or a caller to a peer that has said hello.

use crate::dials::Leave;
use crate::events::EventKind;
use crate::places;
use crate::shared::{Guest, Shared, Visit};
use net::handshake;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use types::{InfoHash, PeerId};
use wire::Handshake;

/// How long a TCP connection may take to come about.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Dials a peer and greets it; see [`permit`] for who is `waiting`.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    addr: SocketAddr,
    torrent: InfoHash,
    peer_id: PeerId,
    waiting: &AtomicUsize,
) -> Option<Guest> {
    let permit = permit(shared, waiting).await?;
    reach(shared, addr, torrent, peer_id, permit).await
}

/// The same with an address that only others told, unless a torrent dialed it in vain of late.
pub(crate) async fn dial_by_hearsay(
    shared: &Arc<Shared>,
    addr: SocketAddr,
    torrent: InfoHash,
    peer_id: PeerId,
    waiting: &AtomicUsize,
) -> Option<Guest> {
    loop {
        let permit = permit(shared, waiting).await?;
        let ended = shared.dials.ended();
        match shared.dials.ask(addr, shared.now()) {
            Leave::Granted(attempt) => {
                let guest = reach(shared, addr, torrent, peer_id, permit).await?;
                attempt.answered();
                return Some(guest);
            }
            Leave::Refused => {
                shared.hub.tell(torrent, || EventKind::DialFailed {
                    peer: addr.into(),
                    error: "dialed in vain within the last five minutes".into(),
                });
                return None;
            }
            Leave::Wait => {
                drop(permit);
                ended.await;
            }
        }
    }
}

/// The limit of all torrents together is waited for: the address is not to blame. How many are `waiting` is bounded by how
/// many connections and web seeds the brain begins at once.
pub(crate) async fn permit(shared: &Shared, waiting: &AtomicUsize) -> Option<OwnedSemaphorePermit> {
    let connections = shared.connections.clone();
    if let Ok(permit) = connections.clone().try_acquire_owned() {
        return Some(permit);
    }
    let _waits = Waits::new(waiting);
    connections.acquire_owned().await.ok()
}

/// Counts one more as long as it is there.
pub(crate) struct Waits<'a>(&'a AtomicUsize);

impl Waits<'_> {
    pub(crate) fn new(count: &AtomicUsize) -> Waits<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Waits(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn reach(
    shared: &Arc<Shared>,
    addr: SocketAddr,
    torrent: InfoHash,
    peer_id: PeerId,
    permit: OwnedSemaphorePermit,
) -> Option<Guest> {
    let failed = |error: &dyn Display| {
        shared.hub.tell(torrent, || EventKind::DialFailed { peer: addr.into(), error: error.to_string() });
    };
    if shared.bans.has(addr.ip()) {
        failed(&"banned by hand");
        return None;
    }
    shared.hub.tell(torrent, || EventKind::Dialing { peer: addr.into() });
    let connect = net::bind::tcp_connect(addr, shared.local);
    let mut stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(err)) => {
            failed(&err);
            return None;
        }
        Err(_) => {
            failed(&"no answer");
            return None;
        }
    };
    let ours = Handshake { reserved: shared.reserved(), info_hash: torrent.wire(), peer_id };
    match handshake::greet(&mut stream, &ours, &torrent).await {
        Ok(theirs) => {
            let place = shared.places.take(permit, addr.ip(), torrent.wire());
            Some(Guest { stream, addr, outgoing: true, theirs, place })
        }
        Err(err) => {
            failed(&err);
            None
        }
    }
}

/// Hears a caller and hands it to its torrent; a caller for whom there is no room or no torrent is hung up on.
pub(crate) async fn caller(shared: &Arc<Shared>, mut stream: TcpStream, addr: SocketAddr) {
    let addr = canonical(addr);
    if shared.bans.has(addr.ip()) {
        return;
    }
    let _ = net::bind::set_options(&stream);
    let answered = handshake::answer(&mut stream, shared.reserved(), |info_hash| {
        let door = shared.door(*info_hash)?;
        let peer_id = door.peer_id;
        Some((door, peer_id))
    });
    match answered.await {
        Ok((door, theirs)) => {
            shared.called.store(true, Ordering::Relaxed);
            let Some(permit) = places::room(shared, addr.ip()).await else {
                tracing::debug!(%addr, "caller turned away: too many connections");
                turned_away(shared, door.torrent, addr, "connections");
                return;
            };
            let place = shared.places.take(permit, addr.ip(), door.torrent.wire());
            let guest = Guest { stream, addr, outgoing: false, theirs, place };
            let taken = door.visits.try_send(Visit::Guest(Box::new(guest)));
            // Else it has just ended.
            if taken.is_err() && shared.door(door.torrent.wire()).is_some() {
                turned_away(shared, door.torrent, addr, "callers");
            }
        }
        Err(err) => tracing::debug!(%addr, %err, "caller turned away"),
    }
}

/// A caller who has said hello is hung up on.
fn turned_away(shared: &Shared, torrent: InfoHash, addr: SocketAddr, limit: &'static str) {
    let peer = Some(addr.into());
    shared.hub.tell(torrent, || EventKind::LimitReached { limit: limit.into(), peer });
}

/// The same address, as IPv4 if it is an IPv4 address; otherwise with the link by which it is reached.
fn canonical(addr: SocketAddr) -> SocketAddr {
    let ip = addr.ip().to_canonical();
    if ip == addr.ip() { addr } else { SocketAddr::new(ip, addr.port()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_and_keeps_its_link() {
        let same = |text: &str| canonical(text.parse().unwrap()).to_string();
        assert_eq!(same("[::ffff:10.0.0.1]:5"), "10.0.0.1:5");
        for plain in ["10.0.0.1:5", "[2001:db8::1]:5", "[fe80::1%3]:5"] {
            assert_eq!(same(plain), plain);
        }
    }

    #[tokio::test]
    async fn a_connection_that_does_not_come_about_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared::new(crate::Settings::new(dir.path()), &[], None, None).unwrap());
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap();
        // One connection that nobody accepts fills its queue: whoever calls then hears nothing.
        let _listener = socket.listen(0).unwrap();
        let _fills = TcpStream::connect(addr).await.unwrap();
        let torrent = InfoHash::V1(types::InfoHashV1([7; 20]));
        let permit = permit(&shared, &AtomicUsize::new(0)).await.unwrap();
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        assert!(reach(&shared, addr, torrent, PeerId([1; 20]), permit).await.is_none());
        assert_eq!(begun.elapsed().as_secs(), CONNECT_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn who_says_hello_and_is_not_taken_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::Settings { max_peers: 1, ..crate::Settings::new(dir.path()) };
        let shared = Arc::new(Shared::new(settings, &[], None, None).unwrap());
        let torrent = InfoHash::V1(types::InfoHashV1([7; 20]));
        let (sender, mut visits) = crate::mailbox::mailbox(1);
        let _door = shared.open_door(torrent, PeerId([1; 20]), sender.clone()).unwrap();
        let mut events = shared.hub.listen("limit".parse().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let call = async || {
            use tokio::io::AsyncWriteExt;
            let (calls, answers) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (mut calls, (answers, addr)) = (calls.unwrap(), answers.unwrap());
            let (reserved, info_hash) = (wire::Reserved::NONE, torrent.wire());
            let hello = Handshake { reserved, info_hash, peer_id: PeerId([2; 20]) };
            calls.write_all(&hello.encode()).await.unwrap();
            caller(&shared, answers, addr).await;
        };
        // The one connection that there may be is somebody else's.
        let waiting = AtomicUsize::new(0);
        let taken = permit(&shared, &waiting).await.unwrap();
        call().await;
        let told = async |events: &mut crate::Events| events.next().await.unwrap().kind.to_string();
        assert_eq!(told(&mut events).await, "limit reached: connections; we hang up on it");
        let dials = async || permit(&shared, &waiting).await;
        tokio::select! {
            biased;
            _ = dials() => panic!("there is none"),
            () = async { assert_eq!(waiting.load(Ordering::Relaxed), 1) } => {}
        }
        assert_eq!(waiting.load(Ordering::Relaxed), 0, "it is given up");
        drop(taken);
        // And so is the one place where callers wait.
        assert!(sender.try_send(Visit::Look).is_ok());
        call().await;
        assert_eq!(told(&mut events).await, "limit reached: callers; we hang up on it");
        visits.recv().await;
        call().await;
        assert!(matches!(visits.recv().await, Visit::Guest(_)), "there is room");
    }
}
