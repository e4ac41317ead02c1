use super::interface::{MAX_INTERFACES, choose, usable};
use super::*;
use ::lsd::Part;
use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr};
use std::net::Ipv4Addr;
use tokio::sync::mpsc;

const HASH: InfoHashV1 = InfoHashV1([7; 20]);

fn interface(name: &str, index: u32, ip: &str) -> Interface {
    Interface { name: name.into(), index, subnet: Subnet { ip: ip.parse().unwrap(), prefix: 24 } }
}

fn found(name: &str, ip: [u8; 4], oper_status: IfOperStatus, is_p2p: bool) -> if_addrs::Interface {
    let ip = Ipv4Addr::from(ip);
    let addr = Ifv4Addr { ip, netmask: Ipv4Addr::BROADCAST, prefixlen: 32, broadcast: None };
    if_addrs::Interface { name: name.into(), addr: IfAddr::V4(addr), index: Some(1), oper_status, is_p2p }
}

#[test]
fn interfaces_that_are_down_and_tunnels_are_of_no_use() {
    let up = IfOperStatus::Up;
    let found = [
        found("eth0", [10, 0, 0, 1], up.clone(), false),
        found("eth1", [10, 0, 1, 1], IfOperStatus::Unknown, false),
        found("tun0", [10, 0, 2, 1], up, true),
    ];
    let usable = usable(&found);
    assert_eq!(usable.iter().map(|interface| &*interface.name).collect::<Vec<_>>(), ["eth0"]);
    assert_eq!(usable[0].subnet, Subnet { ip: [10, 0, 0, 1].into(), prefix: 32 });
}

#[test]
fn the_group_is_joined_where_peers_can_connect() {
    let lo = [interface("lo", 1, "127.0.0.1"), interface("lo", 1, "::1")];
    let lan = [
        interface("eth0", 2, "192.168.0.5"),
        interface("eth0", 2, "192.168.1.5"),
        interface("eth0", 2, "fe80::5"),
        interface("eth1", 3, "203.0.113.5"),
    ];
    let all = [&lo[..], &lan[..]].concat();
    let names = |from: &[Interface], listens: &[&str], family| {
        let listens: Vec<SocketAddr> = listens.iter().map(|text| text.parse().unwrap()).collect();
        let chosen = choose(from, &listens, family);
        chosen.iter().map(|interface| interface.subnet.ip.to_string()).collect::<Vec<_>>()
    };
    let everywhere = ["0.0.0.0:1", "[::]:1"];
    assert_eq!(names(&all, &everywhere, Family::V4), ["192.168.0.5", "203.0.113.5"]);
    assert_eq!(names(&all, &everywhere, Family::V6), ["fe80::5"]);
    assert_eq!(names(&lo, &everywhere, Family::V4), ["127.0.0.1"], "it is all there is");
    assert_eq!(names(&all, &["127.0.0.1:1"], Family::V4), ["127.0.0.1"]);
    assert_eq!(names(&all, &["127.0.0.1:1", "192.168.1.5:1"], Family::V4), ["127.0.0.1", "192.168.1.5"]);
    assert_eq!(names(&all, &["127.0.0.1:1"], Family::V6), [""; 0], "we do not listen there");
    let many: Vec<Interface> =
        (0..).map(|n| interface("eth", n, "192.168.0.5")).take(MAX_INTERFACES + 1).collect();
    assert_eq!(names(&many[1..], &everywhere, Family::V4).len(), MAX_INTERFACES);
    assert_eq!(names(&many, &everywhere, Family::V4).len(), MAX_INTERFACES);
}

/// A driver of one who listens on loopback, and has a part in the torrent.
fn driver(port: u16) -> Driver {
    let mut driver = Driver::open(&[([127, 0, 0, 1], port).into()], u64::from(port)).unwrap();
    driver.input(Input::Join { torrent: HASH, part: Part::of(Some(false)).unwrap() });
    driver
}

/// Whom a driver finds, as long as anybody wants to hear of it.
fn finds(mut driver: Driver) -> mpsc::Receiver<(InfoHashV1, SocketAddr)> {
    let (sender, found) = mpsc::channel(16);
    tokio::spawn(async move { while sender.send(driver.next().await).await.is_ok() {} });
    found
}

#[tokio::test]
async fn neighbours_find_each_other() {
    let (mut one, mut other) = (finds(driver(1001)), finds(driver(1002)));
    let here = |port| Some((HASH, SocketAddr::from(([127, 0, 0, 1], port))));
    // Others on this host may run the same test.
    while other.recv().await != here(1001) {}
    while one.recv().await != here(1002) {}
}

#[test]
fn without_a_port_to_listen_at_there_is_nothing_to_open() {
    assert!(Driver::open(&[], 1).is_none());
}

#[tokio::test]
async fn what_leaves_is_left_and_what_comes_is_joined() {
    let mut driver = driver(1003);
    let group = driver.v4.as_mut().unwrap();
    let lo = group.joined.clone();
    assert_eq!(lo.iter().map(|joined| joined.subnet.ip).collect::<Vec<_>>(), [IpAddr::from([127, 0, 0, 1])]);
    group.move_to(&[]);
    assert_eq!(group.joined, []);
    group.move_to(&[interface("none", 9999, "192.0.2.1")]);
    assert_eq!(group.joined, [], "it is not there");
    group.move_to(&lo);
    assert_eq!(group.joined, lo, "it can be joined again");
}
