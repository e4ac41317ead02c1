//! The same compact addresses (BEP 5, 7, 11, 15, 23) through all that read them: they tell of the same peers.
#![no_main]

use common::plant;
use core::net::{IpAddr, SocketAddr};
use dht::krpc::{self, Body};
use libfuzzer_sys::fuzz_target;
use tracker::udp::{self, Family, Response};
use wire::ext::Pex;

fuzz_target!(|data: &[u8]| {
    for (family, len) in [(Family::V4, 6), (Family::V6, 18)] {
        // As many as all of them take.
        let whole = &data[..data.len() / len * len];
        let whole = &whole[..whole.len().min(len * 50)];
        let read = pex(whole, family);
        assert_eq!(read.len() * len, whole.len());
        assert_eq!(krpc(whole, len), read);
        // Trackers may write IPv4 as mapped IPv6, and tell of nobody who cannot be a peer.
        let mapped = |addr: &SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let plausible = read.iter().map(mapped).filter(|addr| addr.port() != 0 && is_somebody(addr.ip()));
        let plausible: Vec<_> = plausible.collect();
        assert_eq!(udp(whole, family), plausible);
        assert_eq!(http(whole, family), plausible);
        plant(|| len == 18 && plausible.len() == 2 && read.len() == 3);
    }
});

fn is_somebody(ip: IpAddr) -> bool {
    let is_broadcast = ip == IpAddr::from([255; 4]);
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

fn pex(list: &[u8], family: Family) -> Vec<SocketAddr> {
    let key = if family == Family::V4 { "added" } else { "added6" };
    let read = Pex::decode(&bencode::encode_dict(|d| d.bytes(key, list))).expect("whole addresses");
    read.added.iter().map(|peer| peer.addr).collect()
}

fn krpc(list: &[u8], len: usize) -> Vec<SocketAddr> {
    let datagram = bencode::encode_dict(|d| {
        d.bytes("t", "x");
        d.bytes("y", "r");
        d.dict("r", |r| {
            r.bytes("id", [1; 20]);
            r.list("values", |values| list.chunks(len).for_each(|peer| values.bytes(peer)));
        });
    });
    let document = krpc::decode(&datagram).expect("a datagram");
    match krpc::parse(&document).expect("a packet").body {
        Body::Response(response) => response.values,
        _ => Vec::new(),
    }
}

fn udp(list: &[u8], family: Family) -> Vec<SocketAddr> {
    let head = [1_u32, 2, 3, 4, 5].map(u32::to_be_bytes).concat();
    match udp::parse(&[&head, list].concat(), family) {
        Some((2, Response::Announce(answer))) => answer.peers,
        other => panic!("{other:?}"),
    }
}

fn http(list: &[u8], family: Family) -> Vec<SocketAddr> {
    let body = bencode::encode_dict(|d| {
        d.bytes(if family == Family::V4 { "peers" } else { "peers6" }, list);
        d.int("interval", 1);
    });
    tracker::http::parse_announce(&body).expect("an answer").peers
}
