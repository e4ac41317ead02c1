//! Neighbours that announce what they do not have, again and again, under many ports.

use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::{FOUND_WITHIN, SMALL, Trap, download, sized, wait_until_listening};
use crate::common::{Home, LIMIT, start};
use rawtorrent_tests::content::hex;
use rawtorrent_tests::free_addr;
use rawtorrent_tests::score::score;

const LIAR: [u8; 4] = [127, 0, 0, 2];
/// Hosts that flood, or one that makes up addresses: as many as could use up together what all may have passed on.
const LIARS: u8 = 6;
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 192, 152, 143), 6771);

fn announce(port: &str, info_hashes: &[&str]) -> Vec<u8> {
    let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: {port}\r\n");
    info_hashes.iter().for_each(|hash| text += &format!("Infohash: {hash}\r\n"));
    (text + "\r\n\r\n").into_bytes()
}

/// A socket that is heard through loopback.
fn socket(host: [u8; 4]) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::from(host), 0)).unwrap()
}

#[test]
fn a_neighbour_that_floods_hides_nobody() {
    let home = Home::new(SMALL);
    let honest = home.fake_seed();
    let at = free_addr().unwrap();
    let mut command = download(&home, at, "--no-dht");
    command.env_remove("RAWTORRENT_NO_LSD");
    let mut session = start(&mut command);
    wait_until_listening(at);
    let (hash, liar) = (hex(&home.info_hash), socket(LIAR));
    let other = "f".repeat(40);
    let many: Vec<&str> = (0..60).map(|n| if n == 59 { &*hash } else { &*other }).collect();
    let mut rng = fastrand::Rng::with_seed(0x15d);
    // It hears as soon as the torrent is looked at, and comes to where it is led.
    let trap = Trap::set(LIAR);
    let leads = announce(&trap.addr.port().to_string(), &[&hash]);
    let hears = rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        liar.send_to(&leads, GROUP).unwrap();
        (trap.came() > 0).then_some(())
    });
    assert!(hears.is_some(), "it hears nobody: {}", session.process.stderr());
    let liars: Vec<UdpSocket> = (LIAR[3]..).take(LIARS.into()).map(|n| socket([127, 0, 0, n])).collect();
    let count = sized(5_000, 200_000);
    for round in 0..count {
        // Nobody listens there.
        let port = (1 + round % 1000).to_string();
        let mut message = match round % 10 {
            0 => announce("0", &[&hash]),
            1 => announce("65536", &[&hash]),
            2 => announce(&port, &many),
            3 => vec![b'x'; 1400],
            4 => announce(&port, &["../../../../etc/passwd", "\u{1b}[2J"]),
            _ => announce(&port, &[&hash]),
        };
        if round % 10 == 9 {
            let at = rng.usize(..message.len());
            message[at] = rng.u8(..);
        }
        let _ = liars[round / 10 % liars.len()].send_to(&message, GROUP);
        if round % 20 == 0 {
            // Faster, and most is lost on the way.
            thread::sleep(Duration::from_millis(1));
        }
    }
    // One that is there, from another host, says so a few times: the group may have lost some of all that.
    let one = socket([127, 0, 0, 1]);
    let says = announce(&honest.addr.port().to_string(), &[&hash]);
    let began = Instant::now();
    let found = rawtorrent_tests::poll(began + FOUND_WITHIN, || {
        one.send_to(&says, GROUP).unwrap();
        honest.wait_connected(Duration::from_millis(100)).then_some(())
    });
    assert!(found.is_some(), "nobody came to who is there: {}", session.process.stderr());
    let done = session.process.wait(LIMIT).unwrap();
    assert_eq!(done.code(), Some(0), "{}", session.process.stderr());
    home.assert_downloaded();
    score(
        "a_neighbour_that_floods_hides_nobody",
        "announces of six hosts under a thousand ports, of port 0, of other torrents, broken and of garbage",
        count as u64,
        &format!(
            "who is there was found {:.1} s after it said so, and gave everything",
            began.elapsed().as_secs_f64()
        ),
        "found within 15 s",
    );
}
