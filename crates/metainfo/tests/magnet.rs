//! What magnet links mean: rules, and laws of reading and printing.
#![allow(clippy::unwrap_used)] // helpers outside of `#[test]` functions

use metainfo::create::Builder;
use metainfo::magnet::{Host, HostPort, MAX_HINTS, MAX_LINK_LEN, MAX_SELECTED_FILE};
use metainfo::{Magnet, MagnetError, Metainfo};
use proptest::collection::vec;
use proptest::prelude::*;
use types::{InfoHash, InfoHashV1, InfoHashV2};

const V1: &str = "0123456789abcdef0123456789abcdef01234567";
const V2: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn link(rest: &str) -> String {
    format!("magnet:?xt=urn:btih:{V1}{rest}")
}

fn parse(rest: &str) -> Magnet {
    Magnet::parse(link(rest)).unwrap()
}

#[test]
fn names_of_both_kinds_in_any_spelling() {
    let (v1, v2): (InfoHashV1, InfoHashV2) = (V1.parse().unwrap(), V2.parse().unwrap());
    for (text, expected) in [
        (format!("magnet:?xt=urn:btih:{V1}"), InfoHash::V1(v1)),
        (format!("MAGNET:?XT=URN:BTIH:{}", V1.to_uppercase()), InfoHash::V1(v1)),
        ("magnet:?xt=urn:btih:AERUKZ4JVPG66AJDIVTYTK6N54ASGRLH".into(), InfoHash::V1(v1)),
        ("magnet:?xt=urn:btih:aerukz4jvpg66ajdivtytk6n54asgrlh".into(), InfoHash::V1(v1)),
        (format!("magnet:?xt.1=urn:btih:{V1}&xt.2=urn:btmh:1220{V2}"), InfoHash::Hybrid(v1, v2)),
        (format!("magnet:?dn=x&xt=urn:btmh:1220{V2}"), InfoHash::V2(v2)),
        (format!("magnet:?xt=urn:btih:{V1}&xt=urn:btih:{V1}&xt=urn:sha1:X"), InfoHash::V1(v1)),
    ] {
        assert_eq!(Magnet::parse(&text).unwrap().info_hash, expected, "{text}");
    }
}

#[test]
fn what_names_no_torrent_is_said() {
    for (text, part) in [
        ("http://x", "no magnet link"),
        ("magnet:", "no magnet link"),
        ("magnet:?", "names no torrent"),
        ("magnet:?xt=urn:ed2k:31d6cfe0d16ae931b73c59d7e0c089c0", "names no torrent"),
        (&format!("magnet:?xt=urn:btih:{}", &V1[1..]), "btih is not a hash"),
        (&format!("magnet:?xt=urn:btih:{V1}\n"), "btih is not a hash"),
        ("magnet:?xt=urn:btih:01234567890123456789012345678901", "btih is not a hash"),
        (&format!("magnet:?xt=urn:btmh:1114{V1}"), "btmh is not a SHA-256"),
        (&format!("magnet:?xt=urn:btih:{V1}&xt=urn:btih:{}", "0".repeat(40)), "two different torrents"),
        ("magnet:?xt=urn:btih:%2", "a % in `xt`"),
        (&format!("magnet:?xt=urn:btih:{V1}&xt=urn:%zz"), "a % in `xt`"),
    ] {
        let error = Magnet::parse(text).unwrap_err().to_string();
        assert!(error.contains(part) && error.lines().count() == 1, "{text}: {error}");
    }
    let long = link(&"&x=".repeat(MAX_LINK_LEN));
    assert_eq!(Magnet::parse(long).unwrap_err(), MagnetError::TooLong);
}

#[test]
fn hints_that_cannot_be_read_are_passed_over() {
    let magnet = parse(
        "&dn=&dn=a+b%26c&dn=second&tr=udp://t:1&tr=wss://t&tr=&tr.3=HTTP://u/a%3Fb&tr.x=http://no&tr=udp://t:1\
         &ws=https://w/&ws=ftp://w/&x.pe=Peer.example:6881&x.pe=[::1]:1&x.pe=1.2.3.4:0&x.pe=1.2.3.4:70000\
         &x.pe=1.2.3:5&x.pe=:5&x.pe=a%20b:5&x.pe=[1.2.3.4]:5&x.pe=1.2.3.4:%2B5&x.pe=4.3.2.1:5&unknown=%zz&novalue",
    );
    assert_eq!(magnet.name.as_deref(), Some("a b&c"));
    assert_eq!(magnet.trackers, ["udp://t:1", "HTTP://u/a?b"]);
    assert_eq!(magnet.web_seeds, ["https://w/"]);
    let peers: Vec<_> = magnet.peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["peer.example:6881", "[::1]:1", "4.3.2.1:5"]);
    let addrs: Vec<_> = magnet.peers.iter().map(HostPort::addr).collect();
    assert_eq!(addrs, [None, "[::1]:1".parse().ok(), "4.3.2.1:5".parse().ok()]);
    let magnet =
        parse("&dn=100%+of%20it%2&tr=http://a/%zz&tr=udp://t:1&ws=http://w/%&x.pe=%4&dht=1.2.3.4:5&so=1%");
    assert_eq!(magnet.name.as_deref(), Some("100% of it%2"));
    assert_eq!(
        (magnet.trackers, magnet.web_seeds.len(), magnet.peers.len()),
        (vec!["udp://t:1".into()], 0, 0)
    );
    assert_eq!((magnet.dht_nodes.len(), magnet.select_only), (1, None));
}

#[test]
fn addresses_are_printed_as_they_stand() {
    let link = link("&x.pe=peer.example:6881&x.pe=[::1]:1&dht=1.2.3.4:5");
    assert_eq!(Magnet::parse(&link).unwrap().to_string(), link);
}

#[test]
fn hints_are_bounded() {
    let many: String = (0..2 * MAX_HINTS).map(|n| format!("&tr=udp://t:{n}&x.pe=h:{}", n + 1)).collect();
    let magnet = parse(&many);
    assert_eq!((magnet.trackers.len(), magnet.peers.len()), (MAX_HINTS, MAX_HINTS));
}

#[test]
fn files_are_selected_by_ranges() {
    let selected = |so: &str| parse(so).select_only.unwrap();
    assert_eq!(selected("&so=0,2,4,6-8"), [0..=0, 2..=2, 4..=4, 6..=8]);
    assert_eq!(selected("&so=9&so=3-5,4-7,8"), [3..=9]);
    assert_eq!(
        selected(&format!("&so={},{},1-x,-1,1-,2-1,+1", MAX_SELECTED_FILE, MAX_SELECTED_FILE + 1)),
        [MAX_SELECTED_FILE..=MAX_SELECTED_FILE]
    );
    let some = parse("&so=1,3-4");
    assert_eq!((0..6).filter(|&file| some.selects(file)).collect::<Vec<_>>(), [1, 3, 4]);
    for none in ["&so=", "&so=,", "&so=2-1", &format!("&so={}", MAX_SELECTED_FILE + 1)] {
        assert_eq!(parse(none).select_only, Some(Vec::new()), "{none}");
        assert!(!parse(none).selects(0));
    }
    assert!(parse("&so=x").selects(7) && parse("").selects(7), "what is no list of numbers is no selection");
}

#[test]
fn a_link_names_the_nodes_of_a_torrent_that_it_can() {
    use metainfo::magnet::MAX_HINTS;
    let torrent = |is_private: i64, nodes: &[(&str, u16)]| {
        let torrent = bencode::encode_dict(|d| {
            d.dict("info", |d| {
                d.int("length", 1);
                d.bytes("name", "x");
                d.int("piece length", 16384);
                d.bytes("pieces", [7; 20]);
                d.int("private", is_private);
            });
            d.list("nodes", |l| {
                for (host, port) in nodes {
                    l.list(|l| {
                        l.bytes(host);
                        l.int(*port);
                    });
                }
            });
        });
        Metainfo::parse(&torrent).unwrap()
    };
    let nodes =
        [("Node.example", 1), ("2001:db8::1", 2), ("192.0.2.1", 3), ("192.0.2.1", 3), ("a", 0), ("b c", 4)];
    let link = Magnet::from(&torrent(0, &nodes)).to_string();
    assert!(link.ends_with("&dht=node.example:1&dht=[2001:db8::1]:2&dht=192.0.2.1:3"), "{link}");
    assert_eq!(Magnet::from(&torrent(1, &nodes)).dht_nodes, []);
    let many: Vec<_> = (1..=200).map(|port| ("a.example", port)).collect();
    assert_eq!(Magnet::from(&torrent(0, &many)).dht_nodes.len(), MAX_HINTS);
}

#[test]
fn a_torrent_and_its_link_make_each_other() {
    let torrent = Builder::file("a file", 1)
        .piece_length(16384)
        .pieces(vec![7; 20])
        .tier(vec!["http://one/announce".into(), "udp://two:2".into()])
        .web_seed("https://w/a%20file")
        .build()
        .unwrap();
    let torrent = Metainfo::parse(&torrent).unwrap();
    let magnet = Magnet::from(&torrent);
    let link = magnet.to_string();
    assert_eq!(Magnet::parse(&link).unwrap(), magnet);
    assert!(link.ends_with(
        "&dn=a%20file&tr=http%3A%2F%2Fone%2Fannounce&tr=udp%3A%2F%2Ftwo%3A2&ws=https%3A%2F%2Fw%2Fa%2520file"
    ));
    assert!(magnet.names(&torrent.info_bytes().unwrap()) && !magnet.names(b"de"));

    let again = Metainfo::parse(&magnet.torrent_file(&torrent.info_bytes().unwrap())).unwrap();
    assert_eq!(
        (again.info_hash(), again.info_bytes().unwrap()),
        (torrent.info_hash(), torrent.info_bytes().unwrap())
    );
    assert_eq!(again.trackers(), [["http://one/announce"], ["udp://two:2"]]);
    assert_eq!(again.web_seeds(), torrent.web_seeds());
    let told = Magnet::parse(format!("{link}&dht=node.example:1&dht=[::1]:2")).unwrap();
    let again = Metainfo::parse(&told.torrent_file(&torrent.info_bytes().unwrap())).unwrap();
    assert_eq!(again.dht_nodes(), [("node.example".to_owned(), 1), ("::1".to_owned(), 2)]);
    assert_eq!(Magnet::from(&again).dht_nodes, told.dht_nodes);
    assert_eq!(again.web_seeds(), torrent.web_seeds());
    let bare = Magnet::new(torrent.info_hash());
    assert!(
        Metainfo::parse(&bare.torrent_file(&torrent.info_bytes().unwrap())).unwrap().trackers().is_empty()
    );
    assert!(Metainfo::parse(&magnet.torrent_file(b"e")).is_err());
}

#[test]
fn both_hashes_of_a_hybrid_must_be_right() {
    let info = b"de";
    let (v1, v2) = (InfoHashV1(hash::sha1(info)), InfoHashV2(hash::sha256(info)));
    let (not_v1, not_v2) = (InfoHashV1([0; 20]), InfoHashV2([0; 32]));
    let names = |info_hash| Magnet::new(info_hash).names(info);
    assert!(names(InfoHash::V1(v1)) && names(InfoHash::V2(v2)) && names(InfoHash::Hybrid(v1, v2)));
    assert!(!names(InfoHash::Hybrid(not_v1, v2)) && !names(InfoHash::Hybrid(v1, not_v2)));
}

prop_compose! {
    fn host_port()(kind in 0..3, v4: [u8; 4], v6: [u8; 16], name in "[a-z][a-z0-9.-]{0,20}", port in 1u16..) -> HostPort {
        let host = match kind {
            0 => Host::Ip(v4.into()),
            1 => Host::Ip(v6.into()),
            _ => Host::Name(name),
        };
        HostPort { host, port }
    }
}

prop_compose! {
    fn magnet()(
        v1: Option<[u8; 20]>,
        v2: [u8; 32],
        both: bool,
        name in proptest::option::of("\\PC{0,20}[a-z]"),
        trackers in proptest::collection::btree_set("(http|https|udp)://[a-z]{1,9}/[!-~]{0,20}", 0..5),
        peers in proptest::collection::btree_set(host_port(), 0..5),
        files in vec(0..50u32, 0..10),
    ) -> Magnet {
        let (v2, one) = (InfoHashV2(v2), |v1| InfoHash::V1(InfoHashV1(v1)));
        let info_hash = match v1 {
            None => InfoHash::V2(v2),
            Some(v1) if both => InfoHash::Hybrid(InfoHashV1(v1), v2),
            Some(v1) => one(v1),
        };
        let so = files.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let select_only = Magnet::parse(format!("magnet:?xt=urn:btih:{V1}&so={so}")).unwrap().select_only;
        let trackers = trackers.into_iter().collect();
        Magnet { name, trackers, peers: peers.into_iter().collect(), select_only, ..Magnet::new(info_hash) }
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(magnet in magnet()) {
        prop_assert_eq!(Magnet::parse(magnet.to_string()), Ok(magnet));
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let _ = Magnet::parse([b"magnet:?xt=urn:btih:", V1.as_bytes(), b"&", &bytes].concat());
        let _ = Magnet::parse(bytes);
    }
}

#[test]
fn a_link_is_read_as_web_pages_write_it() {
    let plain = link("&dn=a&tr=udp://t:1");
    let pasted = plain.replace('&', "&amp;");
    assert_eq!(Magnet::parse(pasted.as_bytes()).unwrap(), Magnet::parse(plain.as_bytes()).unwrap());
}
