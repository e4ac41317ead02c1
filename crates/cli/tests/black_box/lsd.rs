//! Downloads without trackers, peers that are named, and the DHT: on a local network, in a network namespace.

use crate::seeder::{LOOPBACK, Seeder};
use crate::support::{Place, Ran, noise, same};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use tokio::net::UdpSocket;

/// Set within the namespace.
const INSIDE: &str = "RAWTORRENT_TEST_INSIDE";
/// Where torrents are announced (BEP 14).
const GROUP: ([u8; 4], u16) = ([239, 192, 152, 143], 6771);
const HEARD: &str = "is on the local network";

/// Runs the test of this name in a network of its own, which a line of shell sets up, once more; says whether this is
/// where it runs.
fn is_inside(test: &str, set_up: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let is_root = rustix::process::geteuid().is_root();
    let mut alone = Command::new("unshare");
    alone.arg(if is_root { "-n" } else { "-rn" }).args(["sh", "-euc"]);
    alone.arg(format!("PATH=$PATH:/usr/sbin:/sbin; ip link set lo up; {set_up}\nexec \"$@\"")).arg("sh");
    alone.arg(std::env::current_exe().unwrap()).args(["--exact", &format!("lsd::{test}"), "--nocapture"]);
    let ran: Ran = alone.env(INSIDE, "1").output().unwrap().into();
    ran.done();
    false
}

/// A folder `t` with its torrent.
fn place(create: &[&str]) -> Place {
    let place = Place::new();
    place.write("t/a", noise(300_000));
    place.write("t/b", noise(20_000));
    place.run(&[&["create", "t", "-o", "t.torrent"][..], create].concat()).done();
    place
}

/// A command of a user of its own, that takes part.
fn command(place: &Place, home: &str, args: &[&str]) -> Command {
    let mut command = place.command(&[args, &["--no-trackers", "-v"]].concat());
    command.env_remove("RAWTORRENT_NO_LSD").env("RAWTORRENT_STATE_DIR", place.path(home));
    command
}

fn seeder(place: &Place, torrents: &[&str], listen: &str) -> Seeder {
    let args = [&["seed", "--data", ".", "--listen", listen][..], torrents].concat();
    Seeder::spawn(command(place, "seeder", &args))
}

fn download(place: &Place, source: &str, listen: &str) {
    let args = ["download", source, "-o", "got", "--listen", listen];
    let ran: Ran = command(place, "leecher", &args).output().unwrap().into();
    ran.done();
}

/// Somebody else in the group.
async fn listener() -> UdpSocket {
    let socket = net::bind::multicast(SocketAddr::from(GROUP)).unwrap();
    socket.join_multicast_v4(GROUP.0.into(), Ipv4Addr::LOCALHOST).unwrap();
    socket
}

/// The next datagram with this in it.
async fn hear(listener: &UdpSocket, part: &str) -> String {
    let mut buffer = [0; 2000];
    loop {
        let (len, _) = listener.recv_from(&mut buffer).await.unwrap();
        let text = std::str::from_utf8(&buffer[..len]).unwrap();
        if text.contains(part) {
            return text.to_owned();
        }
    }
}

#[test]
fn neighbours_need_nobody_else() {
    if is_inside("neighbours_need_nobody_else", "") {
        let place = place(&[]);
        let _seeder = seeder(&place, &["t.torrent"], LOOPBACK[1]);
        download(&place, "t.torrent", LOOPBACK[1]);
        assert!(same(&place.path("t"), &place.path("got/t")));
    }
}

#[test]
fn a_magnet_link_is_enough_for_neighbours() {
    if is_inside("a_magnet_link_is_enough_for_neighbours", "") {
        let place = place(&[]);
        let _seeder = seeder(&place, &["t.torrent"], LOOPBACK[1]);
        let magnet = place.run(&["magnet", "t.torrent"]).done().text().trim().to_owned();
        download(&place, &magnet, LOOPBACK[1]);
        assert!(same(&place.path("t"), &place.path("got/t")));
    }
}

#[test]
fn link_local_addresses_will_do() {
    // The kernel is not to take its time to make sure that addresses are alone.
    let set_up = "for what in all default; do \
            echo 0 >/proc/sys/net/ipv6/conf/$what/disable_ipv6; \
            echo 0 >/proc/sys/net/ipv6/conf/$what/accept_dad; \
        done; \
        ip link add one type veth peer name other; ip link set one up; ip link set other up";
    if is_inside("link_local_addresses_will_do", set_up) {
        let place = place(&[]);
        let _seeder = seeder(&place, &["t.torrent"], "[::]:0");
        download(&place, "t.torrent", "[::]:0");
        assert!(same(&place.path("t"), &place.path("got/t")));
    }
}

#[tokio::test]
async fn who_is_heard_is_shown() {
    // What says nothing of interfaces goes where the route leads.
    if is_inside("who_is_heard_is_shown", "ip route add 239.0.0.0/8 dev lo src 127.0.0.1") {
        let place = place(&[]);
        let listener = listener().await;
        let seeder = seeder(&place, &["t.torrent"], LOOPBACK[1]);
        let (_, port) = seeder.addr.rsplit_once(':').unwrap();
        let said = hear(&listener, &format!("Port: {port}\r\n")).await;
        // Another one says the same of itself.
        let other = said.replace(&format!("Port: {port}"), "port: 9").replace("cookie", "x");
        listener.send_to(other.as_bytes(), SocketAddr::from(GROUP)).await.unwrap();
        seeder.wait_for(&format!("127.0.0.1:9 {HEARD}"));
    }
}

#[tokio::test]
async fn of_a_private_torrent_nothing_is_said() {
    if is_inside("of_a_private_torrent_nothing_is_said", "") {
        let place = place(&[]);
        place.run(&["create", "t", "-o", "private.torrent", "--private"]).done();
        let hash = |torrent| place.show(torrent)["info_hash_v1"].as_str().unwrap().to_owned();
        let listener = listener().await;
        let _seeder = seeder(&place, &["private.torrent", "t.torrent"], LOOPBACK[1]);
        // What is added together is announced together.
        let said = hear(&listener, &hash("t.torrent")).await;
        assert!(!said.contains(&hash("private.torrent")), "{said}");
        assert_eq!(said.matches("Infohash").count(), 1, "{said}");
    }
}

#[test]
fn who_does_not_want_to_is_not_there() {
    if is_inside("who_does_not_want_to_is_not_there", "") {
        let place = place(&[]);
        // In hexadecimal, and of all programs here.
        let is_open = || std::fs::read_to_string("/proc/net/udp").unwrap().contains(":1A73 ");
        let args = ["seed", "t.torrent", "--data", ".", "--listen", LOOPBACK[1], "--no-lsd"];
        Seeder::spawn(command(&place, "silent", &args)).wait_for("finished");
        assert!(!is_open());
        let seeder = seeder(&place, &["t.torrent"], LOOPBACK[1]);
        seeder.wait_for("finished");
        assert!(is_open());
    }
}
