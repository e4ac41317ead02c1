use super::*;
use crate::meet;
use net::handshake::greet;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use wire::{Handshake, Reserved};

/// A search that nobody drives, by a link that names nobody.
async fn open(dir: &std::path::Path) -> (Arc<Shared>, Fetching, Fetch) {
    let shared = Arc::new(Shared::new(crate::Settings::new(dir), &[], None, None).unwrap());
    let magnet = Magnet::parse("magnet:?xt=urn:btih:0707070707070707070707070707070707070707").unwrap();
    let (fetching, fetch) = Fetching::open(shared.clone(), AddMagnet::new(magnet)).await.unwrap();
    (shared, fetching.unwrap(), fetch)
}

#[tokio::test]
async fn so_many_callers_wait_and_further_ones_are_hung_up_on() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, mut fetching, _fetch) = open(dir.path()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let torrent = fetching.company.torrent;
    let mut callers = Vec::new();
    for number in 0..=GUEST_QUEUE {
        let mut caller = TcpStream::connect(addr).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        let peer_id = PeerId([u8::try_from(number).unwrap(); 20]);
        let hello = Handshake { reserved: Reserved::NONE, info_hash: torrent.wire(), peer_id };
        let (greeted, ()) =
            tokio::join!(greet(&mut caller, &hello, &torrent), meet::caller(&shared, stream, from),);
        greeted.unwrap();
        callers.push(caller);
    }
    let waiting = std::iter::from_fn(|| fetching.calls.visits.try_recv()).count();
    assert_eq!(waiting, GUEST_QUEUE);
    let mut byte = [0];
    assert!(matches!(callers[GUEST_QUEUE].try_read(&mut byte), Ok(0)), "the last one is hung up on");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_given_up_in_time() {
    let begun = Instant::now();
    assert_eq!(in_time(std::future::pending()).await, []);
    assert_eq!(begun.elapsed(), LOOKUP_TIMEOUT);
}

#[tokio::test]
async fn an_end_is_not_waited_for_longer() {
    let dir = tempfile::tempdir().unwrap();
    let (_shared, mut fetching, _fetch) = open(dir.path()).await;
    fetching.company.peers.never_end();
    tokio::time::pause();
    let begun = Instant::now();
    fetching.company.end().await;
    let late = begun.elapsed() - END_DEADLINE;
    assert!(late < Duration::from_millis(10), "{late:?}");
}
