//! Spoofed answers, and trackers at addresses that must not be asked.

use super::*;
use crate::http::tests::score;

#[tokio::test]
async fn spoofed_answers_change_nothing() {
    const GUESSES: u32 = 2000;
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let spoofing = tokio::spawn(async move {
        let mut buf = [0; 2048];
        loop {
            let (_, from) = socket.recv_from(&mut buf).await.unwrap();
            let action = u32::from_be_bytes(*buf[8..].first_chunk().unwrap());
            let transaction = u32::from_be_bytes(*buf[12..].first_chunk().unwrap());
            // Who sees the packet and sends from elsewhere; who does not see it and forges where it comes from.
            let forged: &[u8] = if action == CONNECT { &[6; 8] } else { &[0xff; 12] };
            stranger.send_to(&packet(action, transaction, forged), from).unwrap();
            stranger.send_to(&packet(ERROR, transaction, b"forged"), from).unwrap();
            for guess in (0..GUESSES).map(|n| transaction.wrapping_add(n.wrapping_mul(0x9e37_79b9) | 1)) {
                socket.send_to(&packet(action, guess, forged), from).await.unwrap();
                socket.send_to(&packet(ERROR, guess, b"forged"), from).await.unwrap();
                // The other side reads; the kernel has room for few packets.
                tokio::task::yield_now().await;
            }
            // The right id, for something else than was asked.
            socket.send_to(&packet(1, transaction, &[0xff; 30]), from).await.unwrap();
            socket.send_to(&right_answer(action, transaction), from).await.unwrap();
        }
    });
    let trackers = UdpTrackers::new(QUICK, LocalAddrs::default());
    let request = Request::Scrape(vec![InfoHashV1([1; 20])]);
    let asked = trackers.ask(&Host::Ip(addr.ip()), addr.port(), Family::V4, true, &request).await;
    assert_scraped(asked);
    spoofing.abort();
    score(
        "spoofed_answers_change_nothing",
        "UDP answers with guessed ids from the tracker's address, with the right id from another address",
        8006,
        "the tracker's own answer was taken",
        "no spoofed answer is taken",
    );
}

#[tokio::test]
async fn udp_trackers_inside_are_asked_if_they_may_be() {
    let fake = FakeTracker::start("127.0.0.1:0", |_, a, t| vec![right_answer(a, t)]).await;
    let trackers = UdpTrackers::new(QUICK, LocalAddrs::default());
    let request = Request::Scrape(vec![InfoHashV1([1; 20])]);
    crate::lookup::world::name("udp.inside.test", &["127.0.0.1"]);
    let hosts = [Host::Ip(fake.addr.ip()), Host::Name("udp.inside.test".into())];
    for host in &hosts {
        let error = trackers.ask(host, fake.addr.port(), Family::V4, false, &request).await.unwrap_err();
        assert_eq!(error.to_string(), "the host is at a private address");
    }
    assert!(fake.actions().is_empty());
    assert_scraped(trackers.ask(&hosts[1], fake.addr.port(), Family::V4, true, &request).await);
    for ip in ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"] {
        let ip: IpAddr = ip.parse().unwrap();
        let family = Family::from(SocketAddr::new(ip.to_canonical(), 0));
        let error = trackers.ask(&Host::Ip(ip), 80, family, true, &request).await.unwrap_err();
        assert_eq!(error.to_string(), "the host's address is one that must not be asked");
    }
}
