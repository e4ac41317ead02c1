mod hostile;

use super::*;
use std::sync::Arc;
use types::InfoHashV1;

const QUICK: Retransmit =
    Retransmit { first: Duration::from_millis(20), times: 4, total: Duration::from_secs(10) };

const CONNECT: u32 = 0;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// A tracker whose answers to the n-th packet (action, transaction) are given by a function.
struct FakeTracker {
    addr: SocketAddr,
    actions: Arc<Mutex<Vec<u32>>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeTracker {
    async fn start(
        bind: &str,
        reply: impl Fn(usize, u32, u32) -> Vec<Vec<u8>> + Send + 'static,
    ) -> FakeTracker {
        let socket = UdpSocket::bind(bind).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let actions = Arc::new(Mutex::new(vec![]));
        let log = actions.clone();
        let task = tokio::spawn(async move {
            let mut buf = [0; 2048];
            for n in 0.. {
                let (len, from) = socket.recv_from(&mut buf).await.unwrap();
                assert!(len >= 16);
                let action = u32::from_be_bytes(*buf[8..].first_chunk().unwrap());
                let transaction = u32::from_be_bytes(*buf[12..].first_chunk().unwrap());
                log.lock().unwrap().push(action);
                for packet in reply(n, action, transaction) {
                    socket.send_to(&packet, from).await.unwrap();
                }
            }
        });
        FakeTracker { addr, actions, task }
    }

    async fn scrape(&self, trackers: &UdpTrackers) -> Result<Reply, UdpError> {
        let request = Request::Scrape(vec![InfoHashV1([1; 20])]);
        trackers.ask(&Host::Ip(self.addr.ip()), self.addr.port(), self.addr.into(), true, &request).await
    }

    fn actions(&self) -> Vec<u32> {
        self.actions.lock().unwrap().clone()
    }
}

impl Drop for FakeTracker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn packet(action: u32, transaction: u32, body: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes(), &transaction.to_be_bytes(), body].concat()
}

fn right_answer(action: u32, transaction: u32) -> Vec<u8> {
    let body: &[u8] = if action == CONNECT { &[7; 8] } else { &[0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 7] };
    packet(action, transaction, body)
}

fn assert_scraped(outcome: Result<Reply, UdpError>) {
    let Ok(Reply::Scrape(entries)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((entries.len(), entries[0].seeders), (1, 9));
}

#[tokio::test]
async fn lost_and_foreign_packets_do_no_harm() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let fake = FakeTracker::start(bind, |n, action, transaction| match n {
            0 | 2 => vec![],
            _ => vec![
                b"short".to_vec(),
                packet(ERROR, transaction ^ 1, b"forged"),
                right_answer(action, transaction),
            ],
        })
        .await;
        let trackers = UdpTrackers::new(QUICK, LocalAddrs::default());
        assert_scraped(fake.scrape(&trackers).await);
        assert_eq!(fake.actions(), [CONNECT, CONNECT, SCRAPE, SCRAPE]);
        assert_scraped(fake.scrape(&trackers).await);
        assert_eq!(fake.actions().len(), 5, "the connection id serves again");
    }
}

#[tokio::test]
async fn the_tracker_s_own_words_come_through() {
    let fake = FakeTracker::start("127.0.0.1:0", |_, action, transaction| match action {
        CONNECT => vec![right_answer(CONNECT, transaction)],
        _ => vec![packet(ERROR, transaction, b"torrent not\r\nregistered\0")],
    })
    .await;
    let error = fake.scrape(&UdpTrackers::new(QUICK, LocalAddrs::default())).await.unwrap_err();
    assert_eq!(error.to_string(), "the tracker refuses: torrent not registered");
}

#[tokio::test]
async fn silence_ends() {
    let fake = FakeTracker::start("127.0.0.1:0", |_, _, _| vec![]).await;
    let retransmit = Retransmit { first: Duration::from_millis(5), times: 2, ..QUICK };
    let error = fake.scrape(&UdpTrackers::new(retransmit, LocalAddrs::default())).await.unwrap_err();
    assert_eq!(error.to_string(), "the tracker does not answer");
    assert_eq!(fake.actions(), [CONNECT; 3]);
}

#[tokio::test]
async fn a_closed_port_is_told_at_once() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let trackers =
        UdpTrackers::new(Retransmit { first: Duration::from_secs(5), ..QUICK }, LocalAddrs::default());
    let request = Request::Scrape(vec![]);
    let error =
        trackers.ask(&Host::Ip(closed.ip()), closed.port(), Family::V4, true, &request).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot reach the tracker: connection refused");
    let error =
        trackers.ask(&Host::Ip(closed.ip()), closed.port(), Family::V6, true, &request).await.unwrap_err();
    assert_eq!(error.to_string(), "the host has no address of this family");
}

#[tokio::test]
async fn remembered_connections_are_bounded() {
    let fake = FakeTracker::start("127.0.0.1:0", |_, a, t| vec![right_answer(a, t)]).await;
    let trackers = UdpTrackers::new(QUICK, LocalAddrs::default());
    assert_scraped(fake.scrape(&trackers).await);
    let connection = trackers.with_connections(|all| all[&fake.addr]);
    for port in 1..=u16::try_from(MAX_CONNECTIONS).unwrap() + 9 {
        let addr = SocketAddr::from(([127, 0, 0, 2], port));
        trackers.with_connections(|all| trackers.remember(all, addr, Some(connection)));
        assert!(trackers.with_connections(|all| all.len()) <= MAX_CONNECTIONS);
    }
}

#[tokio::test]
async fn so_many_addresses_of_a_host_are_tried() {
    let addrs: Vec<String> = (1..=MAX_ADDRESSES + 1).map(|n| format!("127.99.7.{n}")).collect();
    let trackers = UdpTrackers::new(QUICK, LocalAddrs::default());
    let request = Request::Scrape(vec![InfoHashV1([1; 20])]);
    for (name, which) in [("last.refusing.test", MAX_ADDRESSES), ("beyond.refusing.test", MAX_ADDRESSES + 1)]
    {
        crate::lookup::world::name(name, &[&addrs[..which].join(" ")]);
        let bind = format!("{}:0", addrs[which - 1]);
        let fake = FakeTracker::start(&bind, |_, a, t| vec![right_answer(a, t)]).await;
        let host = Host::Name(name.into());
        let outcome = trackers.ask(&host, fake.addr.port(), Family::V4, false, &request).await;
        if which == MAX_ADDRESSES {
            assert_scraped(outcome);
        } else {
            let error = outcome.unwrap_err().to_string();
            assert_eq!(error, "cannot reach the tracker: connection refused");
            assert!(fake.actions().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_knows_about_is_given_up() {
    crate::lookup::world::name("unanswered.test", &[""]);
    let (trackers, begun) = (UdpTrackers::new(QUICK, LocalAddrs::default()), Instant::now());
    let request = Request::Scrape(vec![]);
    let host = Host::Name("unanswered.test".into());
    let error = trackers.ask(&host, 9, Family::V4, false, &request).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot find the host: no name server answers");
    assert_eq!(begun.elapsed(), LOOKUP_TIMEOUT);
}

#[tokio::test]
async fn as_many_peers_are_read_as_are_taken() {
    const PEERS: usize = tracker::limits::MAX_PEERS;
    for peers in [PEERS - 1, PEERS, PEERS + 1] {
        let fake = FakeTracker::start("[::1]:0", move |_, action, transaction| {
            let peer: Vec<u8> = [&[0x2a; 16][..], &[0, 9]].concat();
            vec![match action {
                CONNECT => right_answer(CONNECT, transaction),
                _ => packet(action, transaction, &[vec![0; 12], peer.repeat(peers)].concat()),
            }]
        })
        .await;
        let trackers = UdpTrackers::new(QUICK, LocalAddrs::default());
        let request = Request::Announce(announce(), String::new());
        let (ip, port) = (fake.addr.ip(), fake.addr.port());
        let reply = trackers.ask(&Host::Ip(ip), port, Family::V6, true, &request).await.unwrap();
        let Reply::Announce(answer) = reply else { panic!("{reply:?}") };
        assert_eq!(answer.peers.len(), peers.min((MAX_PACKET - 20) / 18));
    }
}

fn announce() -> tracker::Announce {
    tracker::Announce {
        info_hash: InfoHashV1([1; 20]),
        peer_id: types::PeerId([1; 20]),
        port: 9,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: None,
        numwant: None,
        key: 0,
        tracker_id: None,
        ipv4: None,
        ipv6: None,
    }
}
