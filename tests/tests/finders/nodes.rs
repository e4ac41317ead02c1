//! DHT nodes that flood, answer in the place of others, and announce what is not theirs to a node of the binary.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{FOUND_WITHIN, SMALL, Trap, download, sized, wait_until_listening};
use crate::common::{Home, start};
use rawtorrent_tests::free_addr;
use rawtorrent_tests::score::score;

/// Bytes of answers for each byte that was asked, at most, over all that a stranger floods with.
const AMPLIFICATION: usize = 4;
const PATIENCE: Duration = Duration::from_millis(20);

fn compact(addr: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = addr.ip() else { panic!("IPv4") };
    [&ip.octets()[..], &addr.port().to_be_bytes()].concat()
}

/// What stands under a key of a message: so many bytes.
fn after<const N: usize>(message: &[u8], key: &str) -> Option<[u8; N]> {
    let at = message.windows(key.len()).position(|here| here == key.as_bytes())? + key.len();
    message.get(at..at + N)?.try_into().ok()
}

fn is_query(message: &[u8], method: &str) -> bool {
    let name = format!("1:q{}:{method}", method.len());
    message.windows(name.len()).any(|here| here == name.as_bytes())
}

/// An answer to a query: who says it, what nodes it names, and what peers.
fn answer(query: &[u8], id: [u8; 20], node: SocketAddr, peer: SocketAddr) -> Option<Vec<u8>> {
    let transaction: [u8; 4] = after(query, "1:t4:")?;
    // Close to whatever is looked for: who is told of it asks it next.
    let mut near: [u8; 20] =
        after(query, "9:info_hash20:").or_else(|| after(query, "6:target20:")).unwrap_or(id);
    near[19] ^= 1;
    let contact = [&near[..], &compact(node)].concat();
    let mut answer = [&b"d1:rd2:id20:"[..], &id, b"5:nodes26:", &contact, b"5:token4:good"].concat();
    if is_query(query, "get_peers") {
        answer.extend([&b"6:valuesl6:"[..], &compact(peer), b"e"].concat());
    }
    answer.extend([&b"e1:t4:"[..], &transaction, b"1:y1:re"].concat());
    Some(answer)
}

/// A node that knows who has the torrent. Before it answers, others do in its place: from another address, with the right
/// number of the query and with guessed ones.
fn honest_among_liars(
    router: UdpSocket,
    honest: SocketAddr,
    trap: SocketAddr,
    hole: SocketAddr,
    over: &Arc<AtomicBool>,
) -> JoinHandle<usize> {
    let over = Arc::clone(over);
    router.set_read_timeout(Some(PATIENCE)).unwrap();
    let liar = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = router.local_addr().unwrap();
    thread::spawn(move || {
        let (mut forged, mut buffer) = (0, [0; 2048]);
        while !over.load(Ordering::Relaxed) {
            let Ok((len, from)) = router.recv_from(&mut buffer) else { continue };
            let query = &buffer[..len];
            let Some(lie) = answer(query, [0x66; 20], hole, trap) else { continue };
            let number = lie.len() - b"....1:y1:re".len();
            for guess in 0..=32_u8 {
                let mut lie = lie.clone();
                lie[number + 3] ^= guess;
                // Whoever is gone hears no lies.
                forged += usize::from(liar.send_to(&lie, from).is_ok());
            }
            let right = answer(query, [0x11; 20], own, honest).unwrap();
            let _ = router.send_to(&right, from);
        }
        forged
    })
}

/// Asks and announces without end, in good form and in none; how many datagrams, bytes, and bytes of answers that were.
fn flood(to: SocketAddr, trap: SocketAddr, count: usize, info_hash: [u8; 20]) -> [usize; 3] {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut rng = fastrand::Rng::with_seed(0xd47);
    let id = [b'x'; 20];
    let query = |method: &str, rest: &[u8]| {
        let name = format!("1:q{}:{method}1:t2:aa1:y1:qe", method.len());
        [&b"d1:ad2:id20:"[..], &id, rest, b"e", name.as_bytes()].concat()
    };
    let info_hash = [&b"9:info_hash20:"[..], &info_hash].concat();
    let forged = [&info_hash[..], format!("4:porti{}e5:token4:evil", trap.port()).as_bytes()].concat();
    let forms = [
        query("ping", b""),
        query("find_node", &[&b"6:target20:"[..], &id].concat()),
        query("get_peers", &info_hash),
        query("announce_peer", &forged),
        query("vote", b""),
        b"d1:ad2:id3:abce1:q4:ping1:t2:aa1:y1:qe".to_vec(),
        vec![b'l'; 1400],
        b"d1:rd2:id20:xxxxxxxxxxxxxxxxxxxxe1:t4:aaaa1:y1:re".to_vec(),
    ];
    let (mut sums, mut buffer) = ([0; 3], [0; 4096]);
    for round in 0..count {
        let mut message = forms[round % forms.len()].clone();
        if round % 3 == 0 {
            let at = rng.usize(..message.len());
            message[at] = rng.u8(..);
        }
        if socket.send_to(&message, to).is_ok() {
            sums[0] += 1;
            sums[1] += message.len();
        }
        while let Ok(len) = socket.recv(&mut buffer) {
            sums[2] += len;
        }
    }
    sums
}

#[test]
fn a_node_among_liars_finds_who_is_there() {
    let home = Home::new(SMALL);
    let (honest, trap) = (home.fake_seed(), Trap::set([127, 0, 0, 1]));
    let (router, hole) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let (hole_addr, over) = (hole.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
    hole.set_read_timeout(Some(PATIENCE)).unwrap();
    let (count, is_over) = (Arc::clone(&asked), Arc::clone(&over));
    let hears = thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            count.fetch_add(usize::from(hole.recv(&mut [0; 2048]).is_ok()), Ordering::Relaxed);
        }
    });
    let at = free_addr().unwrap();
    let mut command = download(&home, at, "--no-lsd");
    command.env_remove("RAWTORRENT_NO_DHT");
    command.args(["--dht-bootstrap", &router.local_addr().unwrap().to_string()]);
    let liars = honest_among_liars(router, honest.addr, trap.addr, hole_addr, &over);
    let mut session = start(&mut command);
    wait_until_listening(at);
    let flooded = flood(at, trap.addr, sized(8_000, 400_000), home.info_hash);
    let began = Instant::now();
    let done = session.process.wait(FOUND_WITHIN);
    over.store(true, Ordering::Relaxed);
    let forged = liars.join().unwrap();
    hears.join().unwrap();
    println!("{flooded:?}, {forged} forged answers, {:?}", began.elapsed());
    assert_eq!(done.unwrap().code(), Some(0), "{}", session.process.stderr());
    home.assert_downloaded();
    assert!(forged > 0, "it has asked nobody");
    assert_eq!((trap.came(), asked.load(Ordering::Relaxed)), (0, 0), "peers and nodes of forged answers");
    let [datagrams, bytes, answered] = flooded;
    assert!(answered <= AMPLIFICATION * bytes, "{answered} bytes for {bytes}");
    score(
        "a_node_among_liars_finds_who_is_there",
        "queries, garbage and announces with a wrong token, and answers from another address with the right and guessed ids",
        (datagrams + forged) as u64,
        &format!(
            "downloaded from who is there; nobody else was asked; {answered} bytes for {bytes} of the flood"
        ),
        "0 nodes and peers of forged answers asked; 4 bytes for each byte at most",
    );
}
