//! From an address or a caller to a peer that has said hello.

use crate::events::{Direction, EventKind};
use crate::shared::{Guest, Shared};
use net::handshake;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use types::{InfoHash, PeerId};
use wire::{Handshake, Reserved};

/// How long a TCP connection may take to come about.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What we offer in every handshake: the fast extension (BEP 6) and the extension protocol (BEP 10).
pub(crate) const RESERVED: Reserved = Reserved::NONE.with_fast().with_extended();

/// Dials a peer and greets it.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    addr: SocketAddr,
    torrent: InfoHash,
    peer_id: PeerId,
) -> Option<Guest> {
    shared.hub.tell(torrent, || EventKind::Dialing { peer: addr });
    let failed = |error: String| {
        shared.hub.tell(torrent, || EventKind::DialFailed { peer: addr, error });
    };
    // The limit of all torrents together is waited for: the address is not to blame. How many wait is bounded by how
    // many connections the brain begins at once.
    let permit = shared.connections.clone().acquire_owned().await.ok()?;
    let connect = net::bind::tcp_connect(addr, shared.local);
    let mut stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(err)) => {
            failed(err.to_string());
            return None;
        }
        Err(_) => {
            failed("no answer".into());
            return None;
        }
    };
    let ours = Handshake { reserved: RESERVED, info_hash: torrent.wire(), peer_id };
    match handshake::greet(&mut stream, &ours).await {
        Ok(theirs) => {
            tell_handshakes(shared, torrent, addr, &ours, &theirs);
            Some(Guest { stream, addr, outgoing: true, theirs, permit })
        }
        Err(err) => {
            failed(err.to_string());
            None
        }
    }
}

/// Hears a caller and hands it to its torrent; a caller for whom there is no room or no torrent is hung up on.
pub(crate) async fn caller(shared: &Arc<Shared>, mut stream: TcpStream, addr: SocketAddr) {
    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let _ = net::bind::set_options(&stream);
    let answered = handshake::answer(&mut stream, RESERVED, |info_hash| {
        let door = shared.door(*info_hash)?;
        let peer_id = door.peer_id;
        Some((door, peer_id))
    });
    match answered.await {
        Ok((door, theirs)) => {
            let ours = Handshake { reserved: RESERVED, info_hash: theirs.info_hash, peer_id: door.peer_id };
            tell_handshakes(shared, door.torrent, addr, &ours, &theirs);
            let Ok(permit) = shared.connections.clone().try_acquire_owned() else { return };
            // A torrent that has too many callers waiting, or has just ended, does not take this one.
            let _ = door.guests.try_send(Guest { stream, addr, outgoing: false, theirs, permit });
        }
        Err(err) => tracing::debug!(%addr, %err, "caller turned away"),
    }
}

fn tell_handshakes(
    shared: &Shared,
    torrent: InfoHash,
    peer: SocketAddr,
    ours: &Handshake,
    theirs: &Handshake,
) {
    for (direction, said) in [(Direction::Out, ours), (Direction::In, theirs)] {
        shared.hub.tell(torrent, || EventKind::Handshake {
            peer,
            direction,
            peer_id: said.peer_id,
            client: wire::client::name(&said.peer_id),
            extensions: said.reserved.to_string(),
        });
    }
}
